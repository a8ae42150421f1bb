/** Libraries in front of the C library: faults that a real disk has and no test can ask for. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isInstalled } from "./processes.ts";
import { runToEnd } from "./run.ts";

const COMPILER = "/usr/bin/gcc";

/** Whether libraries can be made here. */
export function canPreload(): Promise<boolean> {
  return isInstalled(COMPILER);
}

/**
 * While the file that FAIL_FILE names exists, data written to files is lost, as a kernel does after
 * a failed writeback, and every fsync says EIO.
 */
const FAILING_DISK = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int failing(void) {
  const char *path = getenv("FAIL_FILE");
  return path != NULL && access(path, F_OK) == 0;
}

int fsync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fsync");
  if (!failing()) return real(fd);
  errno = EIO;
  return -1;
}

int fdatasync(int fd) { return fsync(fd); }

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite64");
  return failing() ? (ssize_t)count : real(fd, bytes, count, at);
}
`;

/** While the file that SLOW_FILE names exists, every fsync takes SLOW_MS longer. */
const SLOW_DISK = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int fd) {
  const char *path = getenv("SLOW_FILE");
  if (path != NULL && access(path, F_OK) == 0) usleep(1000 * atoi(getenv("SLOW_MS")));
  return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
`;

/** Makes the library in a new directory and returns its path. */
export function failingDisk(): Promise<string> {
  return make("failing-disk", FAILING_DISK);
}

/** The same for a disk that is slow now and then. */
export function slowDisk(): Promise<string> {
  return make("slow-disk", SLOW_DISK);
}

async function make(name: string, text: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "aether-test-preload-"));
  const source = join(directory, `${name}.c`);
  const library = join(directory, `${name}.so`);
  writeFileSync(source, text);
  const command = [COMPILER, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"];
  const { status, stderr } = await runToEnd(command);
  if (status !== 0) throw new Error(stderr);
  return library;
}
