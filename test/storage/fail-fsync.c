/* fsync and fdatasync that answer EIO once the file named in AETHER_FSYNC_TRIGGER exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
  const char *trigger = getenv("AETHER_FSYNC_TRIGGER");
  return trigger != NULL && access(trigger, F_OK) == 0;
}

int fsync(int fd) {
  static int (*real)(int);
  if (fails()) {
    errno = EIO;
    return -1;
  }
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  return real(fd);
}

int fdatasync(int fd) { return fsync(fd); }
