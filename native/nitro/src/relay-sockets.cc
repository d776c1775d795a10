// How links begin: connects that are under way, and listeners.
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform.h"
#include "relay.h"

namespace nitro {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr int64_t kAcceptRetryMs = 100;  // when the process has no descriptor left

}  // namespace

void Relay::on_connect(uint64_t token, int error) {
  const auto found = connects_.find(token);
  if (found == connects_.end()) return;
  const Connect connect = found->second;
  if (error == 0) {
    socklen_t length = sizeof error;
    if (getsockopt(connect.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) error = errno;
    sockaddr_storage peer;
    length = sizeof peer;
    // Woken before it was connected: waits on.
    if (error == 0 && getpeername(connect.fd, reinterpret_cast<sockaddr*>(&peer), &length) < 0) return;
  }
  connects_.erase(found);
  if (error == 0 && epoll_ctl(epoll_, EPOLL_CTL_DEL, connect.fd, nullptr) < 0) error = errno;
  if (error == 0) return add_link(connect.owner, EventKind::kConnected, connect.fd);
  close(connect.fd);
  tell(EventKind::kFailed, connect.owner, -1, error, 0, 0, 0);
}

void Relay::on_accept(Listener& listener) {
  listener.retry_at_ms = kNever;
  for (int i = 0; i < kAcceptsPerTurn; i++) {
    const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      if (links_.size() >= listener.max_connections) {
        close(fd);
      } else {
        add_link(listener.owner, EventKind::kAccepted, fd);
      }
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    listener.retry_at_ms = now_ms() + kAcceptRetryMs;
    return;
  }
  listener.retry_at_ms = now_ms();
}

void Relay::end_listener(uint64_t token, int error) {
  const auto found = listeners_.find(token);
  if (found == listeners_.end()) return;
  close(found->second.fd);
  tell(EventKind::kListenerClosed, found->second.owner, -1, error, 0, 0, 0);
  listeners_.erase(found);
}

void Relay::add_link(uint64_t owner, EventKind kind, int fd) {
  const uint64_t id = next_token_++;
  uint32_t cid = 0, port = 0;
  sockaddr_storage address;
  socklen_t length = sizeof address;
  memset(&address, 0, sizeof address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0) platform_peer(address, length, &cid, &port);
  int pair[2] = {-1, -1};
  int error = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) error = errno;
  constexpr uint32_t kAll = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  if (error == 0) error = -watch(fd, id, kAll);
  if (error == 0) error = -watch(pair[0], id | kLocalBit, kAll);
  if (error != 0) {
    close(fd);
    if (pair[0] >= 0) close(pair[0]);
    if (pair[1] >= 0) close(pair[1]);
    if (kind == EventKind::kConnected) tell(EventKind::kFailed, owner, -1, error, 0, 0, 0);
    return;
  }
  links_[id] = std::make_unique<Link>(fd, pair[0]);
  tell(kind, owner, pair[1], 0, cid, port, id);
}

}  // namespace nitro
