// A library to preload: mremap(MREMAP_FIXED) as kernels before Linux 6.17 have it.
//
// There the target is unmapped before the source is looked at. MREMAP_FAILS says what fails
// then: "crossing" (EFAULT, if the source spans two mappings, as those kernels do) or a number
// N (that, and ENOMEM for every Nth call). After a failure the first page of the target gets a
// mapping of somebody else's, as by another thread; nobody may touch it from then on.
//
// At the end of the process a line is appended to the file MREMAP_REPORT names:
// "calls C crossing X failed F damaged D".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int calls, crossing, failed, strangers;
static unsigned char *stranger[MOST];
static char report[4096];
static int every;

// The program under test looks for LD_PRELOAD, and its children are none of our business.
__attribute__((constructor)) static void begin(void) {
  const char *fails = getenv("MREMAP_FAILS");
  const char *path = getenv("MREMAP_REPORT");
  every = fails != NULL ? atoi(fails) : 0;
  snprintf(report, sizeof report, "%s", path != NULL ? path : "");
  unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
  int damaged = 0;
  const long page = sysconf(_SC_PAGESIZE);
  for (int i = 0; i < strangers; ++i) {
    unsigned char resident;
    // ENOMEM: it is no longer mapped.
    damaged += mincore(stranger[i], page, &resident) != 0 || stranger[i][0] != 0xa5 ||
               stranger[i][page - 1] != 0xa5;
  }
  char line[128];
  const int length = snprintf(line, sizeof line, "calls %d crossing %d failed %d damaged %d\n",
                              calls, crossing, failed, damaged);
  const int file = open(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file >= 0) {
    if (write(file, line, length) < 0) perror("MREMAP_REPORT");
    close(file);
  }
}

// Where the mapping that holds `address` ends; 0 if there is none.
static unsigned long mapping_end(unsigned long address) {
  FILE *maps = fopen("/proc/self/maps", "re");
  char line[4352];
  unsigned long first, end, found = 0;
  while (maps != NULL && found == 0 && fgets(line, sizeof line, maps) != NULL) {
    if (sscanf(line, "%lx-%lx", &first, &end) == 2 && first <= address && address < end) {
      found = end;
    }
  }
  if (maps != NULL) fclose(maps);
  return found;
}

static void settle(void *target) {
  const long page = sysconf(_SC_PAGESIZE);
  void *place = mmap(target, page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (place == target && strangers < MOST) {
    memset(place, 0xa5, page);
    stranger[strangers++] = place;
  }
}

void *mremap(void *source, size_t old_size, size_t new_size, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  void *target = flags & MREMAP_FIXED ? va_arg(rest, void *) : NULL;
  va_end(rest);
  if (target == NULL || old_size != new_size) {
    return (void *)syscall(SYS_mremap, source, old_size, new_size, flags, target);
  }
  pthread_mutex_lock(&lock);
  const unsigned long end = mapping_end((unsigned long)source);
  const int crosses = old_size > end - (unsigned long)source;
  calls += 1;
  crossing += crosses;
  void *result = MAP_FAILED;
  int error = 0;
  if (crosses || (every > 0 && calls % every == 0)) {
    munmap(target, new_size);
    settle(target);
    failed += 1;
    error = crosses ? EFAULT : ENOMEM;
  } else {
    result = (void *)syscall(SYS_mremap, source, old_size, new_size, flags, target);
    error = errno;
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
