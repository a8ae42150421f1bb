/**
 * What the process uses, under the names of Prometheus' clients; where Linux does not tell, a
 * figure is left out. Of Go's names only those with a true counterpart are here.
 */

import { heapStats } from "bun:jsc";
import { readdirSync, readFileSync } from "node:fs";
import type { Metrics } from "../../observe/metrics.ts";

/** What cannot be read is not shown: the files of /proc are Linux's. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** A line of /proc/self/status, such as `VmSize:   4711 kB`: its number. */
function status(name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(read("/proc/self/status"))?.[1];
  return found === undefined ? undefined : Number(found);
}

function descriptorCount(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

function descriptorLimit(): number | undefined {
  const found = /^Max open files\s+(\d+)/m.exec(read("/proc/self/limits"))?.[1];
  return found === undefined ? undefined : Number(found);
}

export function registerProcess(metrics: Metrics): void {
  const gauge = (name: string, help: string, value: () => number | undefined): void =>
    metrics.readMany("gauge", name, help, () => {
      const now = value();
      return now === undefined ? [] : [[{}, now]];
    });
  const startedS = Date.now() / 1000 - process.uptime();
  gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
  gauge("process_start_time_seconds", "Start of the process since the Unix epoch.", () => startedS);
  gauge("process_virtual_memory_bytes", "Virtual memory.", () => {
    const kib = status("VmSize");
    return kib === undefined ? undefined : kib * 1024;
  });
  const limit = descriptorLimit();
  gauge("process_open_fds", "Open file descriptors.", descriptorCount);
  gauge("process_max_fds", "File descriptors that may be open.", () => limit);
  gauge("os_fd_used", "Open file descriptors.", descriptorCount);
  gauge("os_fd_limit", "File descriptors that may be open.", () => limit);
  metrics.read("counter", "process_cpu_seconds_total", "CPU time of user and system.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  gauge("go_threads", "Threads of the process.", () => status("Threads"));
  gauge("go_memstats_heap_inuse_bytes", "Of JavaScript's heap.", () => heapStats().heapSize);
  gauge("go_memstats_heap_sys_bytes", "Capacity of that heap.", () => heapStats().heapCapacity);
  gauge("go_memstats_heap_objects", "Objects in that heap.", () => heapStats().objectCount);
}
