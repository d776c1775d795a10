/* PID 1 of an enclave: checks how it was booted, readies file systems, entropy and clock, starts the engine with constant
 * arguments, forwards what it writes to the parent, and ends the machine with the reason when the engine ends.
 *
 * The parent is the adversary. It chooses nothing here but its own context id: docs/security/boot.md. Nothing secret
 * passes through but bytes that stir the kernel's pool. Tests link this very object against stand-ins for the system. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* The last ones in ms: how long the parent may take for heartbeat and last words, and the pool to fill; then, how often. */
enum { PORT_LOGS = 7000, PORT_HEARTBEAT = 9000, HEARTBEAT = 0xB7, ENGINE_USER = 1000, BUFFER = 1 << 18, SPARE = 1 << 13 };
enum { HEARTBEAT_MS = 30000, LAST_WORDS_MS = 3000, ENTROPY_MS = 30000, REDIAL_MS = 1000, CLOCK_MS = 600000, STEP_MS = 10000 };
/* The command line of the image, compiled in: it is measured, but without a length (docs/security/boot.md). */
static const char CMDLINE[] = "reboot=k panic=30 pci=off nomodules console=ttyS0 i8042.noaux i8042.nomux i8042.nopnp "
                              "i8042.dumbkbd random.trust_cpu=on";
static char *const ARGV[] = {"/usr/bin/node", "--disable-sigusr1", "--max-semi-space-size=2", "/app/engine.mjs", NULL};
static unsigned parent_cid = VMADDR_CID_HOST + 1;
static char buffer[BUFFER]; /* lines that wait for the parent */
static size_t held, dropped;
static long clock_due;
static int logs = -1;

static long now_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for a descriptor until a time; whether it is ready. */
static int ready(int fd, short events, long until) {
  struct pollfd one = {fd, events, 0};
  long left = until - now_ms();
  return fd >= 0 && poll(&one, 1, left > 0 ? (int)left : 0) == 1;
}

/* Reads a small file as a text; its size, 0 if there is none. */
static size_t slurp(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? 0 : read(fd, text, room - 1);
  close(fd);
  text[got > 0 ? got : 0] = 0;
  return strlen(text);
}

/* Starts connecting to the parent. Whether it is refused, whoever polls or writes will see. */
static int dial(unsigned port) {
  struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_cid = parent_cid, .svm_port = port};
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) (void)connect(fd, (struct sockaddr *)&to, sizeof to);
  return fd;
}

/* One request to the security module; bytes of its answer, or -1. */
static ssize_t ask_nsm(const char *request, size_t size, unsigned char *answer, size_t room) {
  int fd = open("/dev/nsm", O_RDWR | O_CLOEXEC);
  struct iovec message[2] = {{(void *)request, size}, {answer, room}};
  int bad = fd < 0 || ioctl(fd, 0xC0200A00UL, message) != 0 || message[1].iov_len > room;
  close(fd);
  return bad ? -1 : (ssize_t)message[1].iov_len;
}

/* Keeps lines, or drops them: the engine never waits for a parent that does not read. Some room is left for last words. */
static void keep(const char *lines, size_t size, size_t spare) {
  int fits = size + spare <= BUFFER - held;
  memcpy(buffer + held, lines, fits ? size : 0);
  *(fits ? &held : &dropped) += fits ? size : 1;
}

static void hang_up(void) { close(logs), logs = -1; }
static void flush(void) {
  ssize_t sent = send(logs, buffer, held, MSG_NOSIGNAL);
  if (sent > 0) memmove(buffer, buffer + sent, held -= (size_t)sent);
  else if (errno != EAGAIN) hang_up();
}

/* One of init's own lines, to the parent and to the console; `facts` are JSON members with a comma in front. */
__attribute__((format(printf, 2, 3))) static void say(const char *event, const char *facts, ...) {
  char text[4096], line[sizeof text + 128];
  va_list values;
  va_start(values, facts);
  vsnprintf(text, sizeof text, facts, values);
  va_end(values);
  int size = snprintf(line, sizeof line, "{\"name\":\"init\",\"event\":\"init.%s\"%s}\n", event, text);
  keep(line, (size_t)size, 0);
  int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  (void)dprintf(console, "%s", line), close(console);
}

/* Says why, in the engine's own words if it left any, waits until the parent has taken it, and ends the machine. */
_Noreturn static void end(const char *reason, int status) {
  char words[1024], quoted[2 * sizeof words], need[32];
  struct sysinfo memory;
  size_t size = 0;
  if (status != 0 && slurp("/run/arca/exit-reason", words, sizeof words) > 0) reason = words;
  for (const char *c = reason; *c && size < sizeof quoted - 2; c++) {
    if (*c == '"' || *c == '\\') quoted[size++] = '\\';
    quoted[size++] = (unsigned char)*c < ' ' ? ' ' : *c;
  }
  quoted[size] = 0;
  if (dropped > 0) say("dropped", ",\"times\":%zu", dropped);
  if (sysinfo(&memory) != 0) memory.totalram = 0;
  slurp("/run/arca/need-mb", need, sizeof need);
  say("exit", ",\"reason\":\"%s\",\"status\":%d,\"memoryMb\":%lu,\"neededMb\":%lu", quoted, status,
      (memory.totalram >> 20) * memory.mem_unit, strtoul(need, NULL, 10));
  for (long until = now_ms() + LAST_WORDS_MS; now_ms() < until;) {
    if (logs < 0) logs = dial(PORT_LOGS);
    if (held > 0 && ready(logs, POLLOUT, until)) flush();
    if (held == 0 && logs >= 0 && shutdown(logs, SHUT_WR) == 0 && ready(logs, POLLIN, until)) break;
    if (logs < 0) usleep(50000);
  }
  (void)reboot(RB_AUTOBOOT); /* an enclave has no power to switch off: its hypervisor ends it when it resets */
  _exit(status);
}

static void ready_machine(void) {
  const unsigned long closed = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  if (mount("dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755") != 0 ||
      mount("proc", "/proc", "proc", closed, "hidepid=invisible") != 0 ||
      mount("sys", "/sys", "sysfs", closed | MS_RDONLY, NULL) != 0 ||
      // Evaluation keys pass through here as files: hundreds of megabytes, which nothing else takes meanwhile.
      mount("tmp", "/tmp", "tmpfs", closed, "mode=1777,size=50%") != 0 ||
      mount("run", "/run", "tmpfs", closed, "mode=0755,size=4m") != 0 ||
      mkdir("/run/arca", 0700) != 0 || chown("/run/arca", ENGINE_USER, ENGINE_USER) != 0)
    end("the file systems cannot be mounted", 1);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (ioctl(fd, SIOCSIFFLAGS, &lo) != 0 || close(fd) != 0) end("the loopback interface does not come up", 1);
}

/* Behind the constant only devices, which the hypervisor adds, and parameters that can weaken nothing. */
static void check_command_line(void) {
  char text[4096];
  size_t size = slurp("/proc/cmdline", text, sizeof text), constant = sizeof CMDLINE - 1;
  text[strcspn(text, "\n")] = 0;
  if (size == sizeof text - 1 || strncmp(text, CMDLINE, constant) != 0 || (text[constant] && text[constant] != ' '))
    end("the command line is not that of the image", 1);
  for (char *word = strtok(text + constant, " "); word; word = strtok(NULL, " ")) {
    if (strcmp(word, "quiet") == 0 || strcmp(word, "reboot=t") == 0) continue;
    if (strncmp(word, "virtio_mmio.device=", 19) == 0 && !word[19 + strspn(word + 19, "0123456789abcdefxKMG@:")]) continue;
    size_t digits = strncmp(word, "arca.parent_cid=", 16) == 0 ? strspn(word + 16, "0123456789") : 0;
    unsigned long cid = digits > 0 && digits < 11 && !word[16 + digits] ? strtoul(word + 16, NULL, 10) : 0;
    if (cid < VMADDR_CID_HOST || cid >= VMADDR_CID_ANY) end("the command line has a parameter that is not allowed", 1);
    parent_cid = (unsigned)cid;
  }
  int fd = open("/run/arca/parent-cid", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
  if (dprintf(fd, "%u\n", parent_cid) < 0 || close(fd) != 0) end("the parent's context id cannot be told", 1);
}

/* Without it nitro-cli takes the enclave for dead. */
static void beat(void) {
  for (long until = now_ms() + HEARTBEAT_MS; now_ms() < until; usleep(100000)) {
    unsigned char byte = HEARTBEAT;
    int fd = dial(PORT_HEARTBEAT);
    if (ready(fd, POLLOUT, until) && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && ready(fd, POLLIN, until) &&
        recv(fd, &byte, 1, 0) == 1 && byte == HEARTBEAT && close(fd) == 0)
      return;
    close(fd);
  }
  end("the parent did not answer the heartbeat", 1);
}

/* Stirs the module's randomness into the pool, and refuses a pool that the module does not feed. */
static void seed(void) {
  unsigned char answer[0x3000];
  char source[64];
  ssize_t size = ask_nsm("\x69GetRandom", 10, answer, sizeof answer);
  int pool = open("/dev/random", O_WRONLY | O_CLOEXEC);
  if (size < 64 || memcmp(answer, "\xa1\x69GetRandom", 11) != 0 || pool < 0 || write(pool, answer, (size_t)size) != size)
    end("no randomness from /dev/nsm", 1);
  close(pool);
  explicit_bzero(answer, sizeof answer);
  slurp("/sys/class/misc/hw_random/rng_current", source, sizeof source);
  if (strcmp(source, "nsm-hwrng\n") != 0) end("rng_current is not nsm-hwrng", 1);
  for (long until = now_ms() + ENTROPY_MS; getrandom(source, 1, GRND_NONBLOCK) != 1; usleep(10000))
    if (now_ms() > until) end("the kernel's pool does not fill", 1);
}

/* The hypervisor's clock: by PTP (clock_gettime(2) has its name), else as the module stamps a document; who told it. */
static const char *hypervisor_clock(struct timespec *now) {
  static const char request[] = "\xa1\x6b" "Attestation\xa3\x69user_data\xf6\x65nonce\xf6\x6apublic_key\xf6";
  unsigned char answer[0x3000];
  int fd = open("/dev/ptp0", O_RDONLY | O_CLOEXEC);
  int told = fd >= 0 && clock_gettime((clockid_t)(~(unsigned)fd << 3 | 3), now) == 0;
  close(fd);
  if (told) return "ptp";
  ssize_t size = ask_nsm(request, sizeof request - 1, answer, sizeof answer);
  const unsigned char *at = size > 0 ? memmem(answer, (size_t)size, "\x69timestamp\x1b", 11) : NULL;
  if (!at || at + 19 > answer + size) return NULL;
  unsigned long ms = 0;
  for (int i = 11; i < 19; i++) ms = ms << 8 | at[i];
  *now = (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
  return "nsm";
}

/* Sets the clock at the start. Later PTP mends drift alone, since more the engine sees in a signed document, and ends; but a
 * machine without PTP has no clock that keeps time, and is set again and again. */
static void set_clock(int started) {
  struct timespec right = {0}, mine;
  const char *source = hypervisor_clock(&right);
  int by_ptp = source && *source == 'p';
  (void)clock_gettime(CLOCK_REALTIME, &mine);
  long off_us = (right.tv_sec - mine.tv_sec) * 1000000 + (right.tv_nsec - mine.tv_nsec) / 1000;
  clock_due = now_ms() + (by_ptp ? CLOCK_MS : STEP_MS);
  if (started && by_ptp && labs(off_us) < 60000000)
    (void)adjtime(&(struct timeval){off_us / 1000000, off_us % 1000000}, NULL);
  if (started && (by_ptp || !source)) return;
  if (!source || clock_settime(CLOCK_REALTIME, &right) != 0) end("there is no clock but the kernel's own", 1);
  if (!started) say("clock", ",\"source\":\"%s\",\"unix\":%lld", source, (long long)right.tv_sec);
}

/* Becomes the engine: a user without rights, an environment of constants, as many threads as there are cores. */
_Noreturn static void become_engine(int output) {
  struct rlimit no_core = {0, 0}, files = {65536, 65536};
  char threads[40];
  snprintf(threads, sizeof threads, "UV_THREADPOOL_SIZE=%d", get_nprocs() < 2 ? 2 : get_nprocs());
  char *const env[] = {"HOME=/tmp", "TMPDIR=/tmp", "OPENSSL_CONF=/dev/null", "NODE_ENV=production", threads, NULL};
  setsid();
  (void)setrlimit(RLIMIT_NOFILE, &files);
  int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0 && write(oom, "1000", 4) == 4 && dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0) == 0 &&
      dup2(output, 1) == 1 && dup2(output, 2) == 2 && setrlimit(RLIMIT_CORE, &no_core) == 0 &&
      chown("/dev/nsm", ENGINE_USER, ENGINE_USER) == 0 && setgroups(0, NULL) == 0 && setgid(ENGINE_USER) == 0 &&
      setuid(ENGINE_USER) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    execve(ARGV[0], ARGV, env);
  dprintf(2, "{\"name\":\"init\",\"event\":\"init.no-engine\",\"errno\":%d}\n", errno);
  _exit(127);
}

/* Cuts what the engine writes into lines; one that is longer than 64 KiB goes in pieces. Whether anything was there. */
static int forward(int output) {
  static char line[1 << 16];
  static size_t size;
  ssize_t got = read(output, line + size, sizeof line - 1 - size);
  if (got <= 0 && size > 0) line[size++] = '\n';
  size += got > 0 ? (size_t)got : 0;
  char *last = memrchr(line, '\n', size);
  size_t whole = last ? (size_t)(last - line) + 1 : size == sizeof line - 1 ? size : 0;
  if (whole > 0) keep(line, whole, SPARE);
  memmove(line, line + whole, size -= whole);
  return got > 0;
}

/* Forwards lines, reaps whatever ends and slews the clock until the engine has ended; how it did. */
static int watch(pid_t engine, int output) {
  int ended = pidfd_open(engine, 0), status = 0;
  long redial = 0;
  for (pid_t pid = 0; pid != engine;) {
    if (logs < 0 && held > 0 && now_ms() >= redial) logs = dial(PORT_LOGS), redial = now_ms() + REDIAL_MS;
    struct pollfd all[] = {{output, POLLIN, 0}, {ended, POLLIN, 0}, {logs, held > 0 ? POLLIN | POLLOUT : POLLIN, 0}};
    (void)poll(all, 3, logs < 0 && held > 0 ? REDIAL_MS : STEP_MS);
    if (all[0].revents && !forward(output)) output = -1; /* it closed its end */
    if (all[2].revents & POLLOUT) flush();
    if (logs >= 0 && all[2].revents & (POLLIN | POLLERR | POLLHUP)) hang_up(); /* the parent has nothing to say on it */
    if (now_ms() >= clock_due) set_clock(1);
    do pid = waitpid(-1, &status, WNOHANG); while (pid > 0 && pid != engine);
  }
  while (forward(output)) continue;
  return status;
}

int main(void) {
  int output[2];
  ready_machine();
  check_command_line();
  say("booted", ",\"parentCid\":%u", parent_cid);
  beat();
  seed();
  set_clock(0);
  if (pipe2(output, O_CLOEXEC) != 0 || fcntl(output[0], F_SETFL, O_NONBLOCK) != 0) end("no pipe", 1);
  pid_t engine = fork();
  if (engine == 0) become_engine(output[1]);
  if (engine < 0) end("the engine cannot be started", 1);
  close(output[1]);
  say("engine", ",\"pid\":%d", engine);
  int how = watch(engine, output[0]), died = !WIFEXITED(how), status = died ? WTERMSIG(how) : WEXITSTATUS(how);
  char reason[64];
  snprintf(reason, sizeof reason, died ? "the engine died of signal %d" : "the engine ended with status %d", status);
  /* Nobody in here kills it but the kernel, and that for memory alone. */
  end(died && status == SIGKILL ? "out of memory: the enclave needs neededMb" : reason, died ? 128 + status : status);
}
