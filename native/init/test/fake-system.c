/* Stand-ins for the system, linked around init's own object (`ld --wrap`), so that tests run it as an ordinary process:
 * INIT_ROOT is the folder that plays `/`, Unix sockets in it play vsock ports (`vsock/CID_PORT`) and /dev/nsm (frames of
 * `u32le length | CBOR`), and what would change the machine is written to `calls` instead. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int __real_open(const char *path, int flags, mode_t mode);
int __real_socket(int family, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *to, socklen_t size);
int __real_mkdir(const char *path, mode_t mode);
int __real_execve(const char *path, char *const argv[], char *const env[]);
int __real_clock_gettime(clockid_t clock, struct timespec *now);

static const char *in_root(const char *path) {
  static char places[8][512];
  static int next;
  char *place = places[next++ % 8];
  snprintf(place, sizeof places[0], "%s%s", getenv("INIT_ROOT"), path);
  return place;
}

__attribute__((format(printf, 1, 2))) static void record(const char *form, ...) {
  int fd = __real_open(in_root("/calls"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  va_list values;
  va_start(values, form);
  vdprintf(fd, form, values);
  va_end(values);
  close(fd);
}

static int dial(int fd, const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  snprintf(to.sun_path, sizeof to.sun_path, "%s", in_root(path));
  return __real_connect(fd, (struct sockaddr *)&to, sizeof to);
}

int __wrap_open(const char *path, int flags, mode_t mode) {
  if (strcmp(path, "/dev/null") == 0) return __real_open(path, flags, mode);
  if (strcmp(path, "/dev/nsm") != 0) return __real_open(in_root(path), flags, mode);
  int fd = __real_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (dial(fd, path) == 0) return fd;
  close(fd);
  return -1;
}

int __wrap_socket(int family, int type, int protocol) {
  return __real_socket(family == AF_VSOCK ? AF_UNIX : family, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t size) {
  struct sockaddr_vm vsock;
  char path[64];
  if (size < sizeof vsock) return -1;
  memcpy(&vsock, to, sizeof vsock);
  snprintf(path, sizeof path, "/vsock/%u_%u", vsock.svm_cid, vsock.svm_port);
  return dial(fd, path);
}

static int all(int fd, void *bytes, size_t size, int writing) {
  for (size_t done = 0; done < size;) {
    char *at = (char *)bytes + done;
    ssize_t one = writing ? write(fd, at, size - done) : read(fd, at, size - done);
    if (one <= 0) return 0;
    done += (size_t)one;
  }
  return 1;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument) {
  if (request != 0xC0200A00UL) {
    record("ioctl %lx\n", request);
    return 0;
  }
  struct iovec *message = argument;
  uint32_t size = (uint32_t)message[0].iov_len;
  if (!all(fd, &size, 4, 1) || !all(fd, message[0].iov_base, size, 1) || !all(fd, &size, 4, 0)) return -1;
  if (size > message[1].iov_len || !all(fd, message[1].iov_base, size, 0)) return -1;
  message[1].iov_len = size;
  return 0;
}

int __wrap_mount(const char *from, const char *at, const char *type, unsigned long flags, const void *options) {
  record("mount %s %s %lx %s\n", from && type ? type : "?", at, flags, options ? (const char *)options : "-");
  return 0;
}

int __wrap_mkdir(const char *path, mode_t mode) { return __real_mkdir(in_root(path), mode); }

int __wrap_chown(const char *path, uid_t user, gid_t group) {
  record("chown %s %u %u\n", path, user, group);
  return 0;
}

int __wrap_setgroups(size_t count, const gid_t *groups) {
  record("setgroups %zu\n", groups ? 99 : count);
  return 0;
}

int __wrap_setgid(gid_t group) {
  record("setgid %u\n", group);
  return 0;
}

int __wrap_setuid(uid_t user) {
  record("setuid %u\n", user);
  return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
  if (clock >= 0) return __real_clock_gettime(clock, now);
  /* The clock of a device: the seconds that its file holds. */
  char text[32] = "";
  int fd = (int)~((unsigned)clock >> 3 | 7U << 29);
  if (read(fd, text, sizeof text - 1) <= 0) return -1;
  *now = (struct timespec){.tv_sec = atoll(text)};
  return 0;
}

int __wrap_clock_settime(clockid_t clock, const struct timespec *now) {
  record("clock_settime %d %lld\n", clock, (long long)now->tv_sec);
  return 0;
}

int __wrap_execve(const char *path, char *const argv[], char *const env[]) {
  char *moved[16] = {0};
  for (int i = 0; i < 15 && argv[i]; i++) {
    record("argv %s\n", argv[i]);
    moved[i] = strncmp(argv[i], "/app/", 5) == 0 ? strdup(in_root(argv[i])) : argv[i];
  }
  for (int i = 0; env[i]; i++) record("env %s\n", env[i]);
  return __real_execve(in_root(path), moved, env);
}

int __wrap_reboot(int how) {
  record("reboot %x\n", (unsigned)how);
  return 0;
}
