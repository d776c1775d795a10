// The system as it is: character device, ioctl, AF_VSOCK.
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "platform.h"

namespace nitro {

int platform_open(const char* path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int platform_ioctl(int fd, unsigned long number, void* message) {
  return ioctl(fd, number, message) < 0 ? -errno : 0;
}

int platform_socket() {
  const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int platform_address(uint32_t cid, uint32_t port, sockaddr_storage* address, socklen_t* length) {
  sockaddr_vm vm;
  memset(&vm, 0, sizeof vm);
  vm.svm_family = AF_VSOCK;
  vm.svm_cid = cid;
  vm.svm_port = port;
  memcpy(address, &vm, sizeof vm);
  *length = sizeof vm;
  return 0;
}

int platform_connect(int fd, uint32_t cid, uint32_t port, uint32_t timeout_ms) {
  // The kernel gives up after 2 s on its own.
  timeval wait;
  memset(&wait, 0, sizeof wait);
  wait.tv_sec = timeout_ms / 1000 + 1;
  if (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &wait, sizeof wait) < 0) return -errno;
  sockaddr_storage address;
  socklen_t length = 0;
  platform_address(cid, port, &address, &length);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 || errno == EINPROGRESS) return 0;
  return -errno;
}

void platform_peer(const sockaddr_storage& address, socklen_t length, uint32_t* cid, uint32_t* port) {
  sockaddr_vm vm;
  memset(&vm, 0, sizeof vm);
  memcpy(&vm, &address, length < sizeof vm ? length : sizeof vm);
  *cid = vm.svm_cid;
  *port = vm.svm_port;
}

void platform_exports(Napi::Env, Napi::Object) {}

}  // namespace nitro
