// Stand-ins for tests: a "device" is a Unix socket whose other end answers each ioctl; a vsock address is the Unix
// socket <folder>/<cid>-<port>. Never part of the library that production loads.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "platform.h"

namespace nitro {
namespace {

// Connects to this one stay under way for ever.
constexpr uint32_t kSilentCid = 99;

std::string folder = ".";
uint32_t own_cid = 3;
std::atomic<uint32_t> next_port{100000};

bool send_all(int fd, const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t n = send(fd, bytes + done, size - done, MSG_NOSIGNAL);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

bool receive_all(int fd, void* data, size_t size) {
  char* bytes = static_cast<char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t n = recv(fd, bytes + done, size - done, 0);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

int unix_address(const std::string& path, sockaddr_storage* address, socklen_t* length) {
  sockaddr_un un;
  memset(&un, 0, sizeof un);
  un.sun_family = AF_UNIX;
  if (path.size() >= sizeof un.sun_path) return -ENAMETOOLONG;
  memcpy(un.sun_path, path.c_str(), path.size() + 1);
  memcpy(address, &un, sizeof un);
  *length = sizeof un;
  return 0;
}

}  // namespace

int platform_open(const char* path) {
  sockaddr_storage address;
  socklen_t length;
  if (const int bad = unix_address(path, &address, &length)) return bad;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

// To the other end: u64 number, u64 capacity, u64 length, request. Back: i64 errno, u64 resp_len, u64 n, n bytes, of
// which at most the capacity lands in the buffer, as a driver would write it.
int platform_ioctl(int fd, unsigned long number, void* message) {
  uint64_t words[4];
  memcpy(words, message, sizeof words);
  const uint64_t head[3] = {number, words[3], words[1]};
  if (!send_all(fd, head, sizeof head) || !send_all(fd, reinterpret_cast<void*>(words[0]), words[1])) return -EIO;
  int64_t answer[3];
  if (!receive_all(fd, answer, sizeof answer)) return -EIO;
  if (static_cast<uint64_t>(answer[2]) > words[3]) return -EFAULT;
  if (!receive_all(fd, reinterpret_cast<void*>(words[2]), static_cast<size_t>(answer[2]))) return -EIO;
  words[3] = static_cast<uint64_t>(answer[1]);
  memcpy(message, words, sizeof words);
  return -static_cast<int>(answer[0]);
}

int platform_socket() {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int platform_address(uint32_t cid, uint32_t port, sockaddr_storage* address, socklen_t* length) {
  return unix_address(folder + "/" + std::to_string(cid) + "-" + std::to_string(port), address, length);
}

int platform_connect(int fd, uint32_t cid, uint32_t port, uint32_t) {
  if (cid == kSilentCid) return 0;
  sockaddr_storage address;
  socklen_t length;
  // The kernel keeps a name as the peer's address after its file is gone.
  const std::string path = folder + "/" + std::to_string(own_cid) + "-" + std::to_string(next_port++);
  if (const int bad = unix_address(path, &address, &length)) return bad;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) < 0) return -errno;
  unlink(path.c_str());
  if (const int bad = platform_address(cid, port, &address, &length)) return bad;
  return connect(fd, reinterpret_cast<sockaddr*>(&address), length) < 0 ? -errno : 0;
}

void platform_peer(const sockaddr_storage& address, socklen_t length, uint32_t* cid, uint32_t* port) {
  sockaddr_un un;
  memset(&un, 0, sizeof un);
  memcpy(&un, &address, length < sizeof un ? length : sizeof un);
  const char* name = strrchr(un.sun_path, '/');
  if (name == nullptr || sscanf(name, "/%u-%u", cid, port) != 2) *cid = *port = 0xffffffff;
}

void platform_exports(Napi::Env env, Napi::Object exports) {
  exports.Set("useFakeFolder", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                folder = info[0].ToString().Utf8Value();
                own_cid = info[1].ToNumber().Uint32Value();
              }));
}

}  // namespace nitro
