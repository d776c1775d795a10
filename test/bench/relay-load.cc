// Load for the benchmark of vsock-proxy, and the copy loop that it is compared with. Built by the benchmark.
//
//   relay-load raw BYTES                        a read-and-write loop between two socket pairs
//   relay-load through FROM TO BYTES            the same bytes from FROM, dialled, to TO, listened on
//   relay-load echo FROM TO CONNECTIONS SECONDS requests of 1 KiB, one under way on each connection, echoed at TO
//
// FROM and TO are Unix sockets. Prints one line: megabytes a second, or requests a second and the 50th and 99th
// percentile of their times in microseconds.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBlock = 64 * 1024;
constexpr size_t kRequest = 1024;

[[noreturn]] void die(const char* what) {
  fprintf(stderr, "relay-load: %s: %s\n", what, strerror(errno));
  exit(1);
}

double now_us() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

sockaddr_un address_of(const char* path) {
  sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) die(path);
  strcpy(address.sun_path, path);
  return address;
}

int listen_at(const char* path) {
  const sockaddr_un address = address_of(path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  unlink(path);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 || listen(fd, 4096) < 0) die(path);
  return fd;
}

int dial(const char* path) {
  const sockaddr_un address = address_of(path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  while (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    if (errno != EAGAIN) die(path);
    usleep(1000);
  }
  return fd;
}

void send_all(int fd, const uint8_t* bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = write(fd, bytes + done, size - done);
    if (n <= 0) die("write");
    done += static_cast<size_t>(n);
  }
}

void produce(int fd, uint64_t size) {
  const std::vector<uint8_t> block(kBlock, 7);
  for (uint64_t done = 0; done < size; done += kBlock) send_all(fd, block.data(), kBlock);
  shutdown(fd, SHUT_WR);
}

uint64_t consume(int fd) {
  std::vector<uint8_t> block(kBlock);
  uint64_t total = 0;
  for (;;) {
    const ssize_t n = read(fd, block.data(), kBlock);
    if (n < 0) die("read");
    if (n == 0) return total;
    total += static_cast<uint64_t>(n);
  }
}

void copy(int from, int to) {
  std::vector<uint8_t> block(kBlock);
  for (;;) {
    const ssize_t n = read(from, block.data(), kBlock);
    if (n <= 0) break;
    send_all(to, block.data(), static_cast<size_t>(n));
  }
  shutdown(to, SHUT_WR);
}

void print_rate(int in, int out, uint64_t size) {
  const double start = now_us();
  std::thread producer(produce, in, size);
  const uint64_t got = consume(out);
  producer.join();
  if (got != size) die("bytes are missing");
  printf("%.1f\n", static_cast<double>(size) / (now_us() - start));
}

void raw(uint64_t size) {
  int a[2], b[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, a) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, b) < 0) die("socketpair");
  std::thread copier(copy, a[1], b[0]);
  print_rate(a[0], b[1], size);
  copier.join();
}

void through(const char* from, const char* to, uint64_t size) {
  const int listener = listen_at(to);
  const int in = dial(from);
  const int out = accept(listener, nullptr, nullptr);
  if (out < 0) die("accept");
  print_rate(in, out, size);
}

void echo_all(int listener, int count) {
  std::vector<int> fds;
  const int epoll = epoll_create1(0);
  for (int i = 0; i < count; i++) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) die("accept");
    epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  uint8_t bytes[kRequest];
  epoll_event events[256];
  for (int open = count; open > 0;) {
    const int ready = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      const int fd = events[i].data.fd;
      const ssize_t n = read(fd, bytes, sizeof bytes);
      if (n > 0) {
        send_all(fd, bytes, static_cast<size_t>(n));
      } else {
        close(fd);
        open--;
      }
    }
  }
}

void echo(const char* from, const char* to, int count, double seconds) {
  const int listener = listen_at(to);
  std::thread server(echo_all, listener, count);
  struct Client {
    int fd;
    double sent_at;
    size_t got;
  };
  std::vector<Client> clients;
  const int epoll = epoll_create1(0);
  const std::vector<uint8_t> request(kRequest, 7);
  for (int i = 0; i < count; i++) {
    clients.push_back({dial(from), 0, 0});
    epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(i);
    epoll_ctl(epoll, EPOLL_CTL_ADD, clients.back().fd, &event);
  }
  const auto ask = [&](Client& client) {
    client.sent_at = now_us();
    client.got = 0;
    send_all(client.fd, request.data(), kRequest);
  };
  std::vector<double> times;
  for (Client& client : clients) ask(client);
  // The first answers include the way to the target.
  double start = 0;
  size_t first = 0;
  uint8_t bytes[kRequest];
  epoll_event events[256];
  for (;;) {
    const int ready = epoll_wait(epoll, events, 256, 10'000);
    if (ready <= 0) die("no answers");
    for (int i = 0; i < ready; i++) {
      Client& client = clients[events[i].data.u32];
      const ssize_t n = read(client.fd, bytes, kRequest - client.got);
      if (n <= 0) die("a connection ended");
      client.got += static_cast<size_t>(n);
      if (client.got < kRequest) continue;
      if (first < clients.size() && ++first == clients.size()) start = now_us();
      if (start > 0) times.push_back(now_us() - client.sent_at);
      ask(client);
    }
    if (start > 0 && now_us() - start > seconds * 1e6) break;
  }
  const double took = now_us() - start;
  std::sort(times.begin(), times.end());
  const auto at = [&](double part) { return times[static_cast<size_t>(static_cast<double>(times.size() - 1) * part)]; };
  printf("%.0f %.0f %.0f\n", static_cast<double>(times.size()) / took * 1e6, at(0.5), at(0.99));
  fflush(stdout);
  // The server still writes to connections that are not read any more.
  _exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "raw" && argc == 3) {
    raw(strtoull(argv[2], nullptr, 10));
  } else if (what == "through" && argc == 5) {
    through(argv[2], argv[3], strtoull(argv[4], nullptr, 10));
  } else if (what == "echo" && argc == 6) {
    echo(argv[2], argv[3], atoi(argv[4]), atof(argv[5]));
  } else {
    fprintf(stderr, "relay-load: see the head of its source\n");
    return 2;
  }
}
