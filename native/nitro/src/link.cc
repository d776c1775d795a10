#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>
#include <utility>

namespace nitro {
namespace {

constexpr int kBlocksPerTurn = 16;  // then the next connection has its turn

}  // namespace

Link::Link(int remote, int local, Traffic* traffic, Head up, Head down)
    : remote_{remote, false, false, false}, local_{local, false, false, false}, joined_(true) {
  in_.moved = &traffic->down;
  in_.unsent = std::move(down.bytes);
  in_.size = down.size;
  out_.moved = &traffic->up;
  out_.unsent = std::move(up.bytes);
  out_.size = up.size;
}

Link::~Link() {
  if (remote_.fd >= 0) close(remote_.fd);
  close(local_.fd);
}

void Link::note(Side& side, uint32_t events) {
  // Ends and errors come out of the next read or write.
  const bool over = (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0;
  if (over) side.ending = true;
  if (over || (events & EPOLLIN)) side.readable = true;
  if (over || (events & EPOLLOUT)) side.writable = true;
}

void Link::drop(Flow& flow) {
  flow.unsent.reset();
  flow.done = true;
}

void Link::on_remote(uint32_t events) {
  note(remote_, events);
  if (joined_ && (events & EPOLLHUP)) drop(out_);
}

void Link::on_local(uint32_t events) {
  note(local_, events);
  if ((events & EPOLLHUP) == 0) return;
  // Node's end is closed: what it wrote still goes out, nothing comes in any more.
  local_gone_ = true;
  drop(in_);
}

void Link::stop() {
  local_.readable = true;
  drop(in_);
}

bool Link::take_activity() { return std::exchange(active_, false); }

void Link::abort() {
  // A TCP socket is reset then; others do not care.
  const linger now{1, 0};
  for (const int fd : {remote_.fd, local_.fd}) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void Link::count(const Flow& flow, size_t size) {
  active_ = true;
  if (flow.moved != nullptr) flow.moved->fetch_add(size, std::memory_order_relaxed);
}

Link::Turn Link::pump_joined(uint8_t* scratch, int* error) {
  const Stop in = move(remote_, local_, in_, scratch);
  const Stop out = in == Stop::kReadFailed ? in : move(local_, remote_, out_, scratch);
  if (out == Stop::kReadFailed) {
    *error = errno;
    return Turn::kOver;
  }
  if (in_.done && out_.done) return Turn::kOver;
  return in == Stop::kTurnOver || out == Stop::kTurnOver ? Turn::kAgain : Turn::kWaiting;
}

Link::Turn Link::pump(uint8_t* scratch, int* error) {
  if (joined_) return pump_joined(scratch, error);
  if (reset_) return await_close(scratch);
  const Stop in = move(remote_, local_, in_, scratch);
  if (in == Stop::kReadFailed) {
    // Node must see a failure and not an orderly end.
    *error = errno;
    reset_ = true;
    drop(in_);
    drop(out_);
    close(remote_.fd);
    remote_.fd = -1;
    return Turn::kReset;
  }
  const bool was_done = out_.done;
  const Stop out = move(local_, remote_, out_, scratch);
  if (out == Stop::kReadFailed) {
    // A read of the pair fails only if Node closed its end with bytes unread: it wants nothing more.
    drop(in_);
    drop(out_);
  }
  // The remote takes nothing more: Node's next write shall fail.
  if (out_.done && !was_done && !out_.read_end) shutdown(local_.fd, SHUT_RD);
  if (in_.done && out_.done) return Turn::kOver;
  return in == Stop::kTurnOver || out == Stop::kTurnOver ? Turn::kAgain : Turn::kWaiting;
}

// Node was told of the reset and closes its end; what it had written meanwhile is for nobody.
Link::Turn Link::await_close(uint8_t* scratch) {
  if (local_gone_) return Turn::kOver;
  if (!local_.readable) return Turn::kWaiting;
  const ssize_t n = recv(local_.fd, scratch, kBlock, MSG_DONTWAIT);
  if (n > 0) return Turn::kAgain;
  if (n < 0 && errno != EAGAIN && errno != EINTR) return Turn::kOver;
  local_.readable = false;
  return Turn::kWaiting;
}

Link::Stop Link::move(Side& from, Side& to, Flow& flow, uint8_t* scratch) {
  for (int blocks = 0; !flow.done;) {
    if (flow.unsent) {
      if (!to.writable) return Stop::kWaiting;
      const ssize_t n = send(to.fd, flow.unsent.get() + flow.sent, flow.size - flow.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        flow.sent += static_cast<size_t>(n);
        count(flow, static_cast<size_t>(n));
        if (flow.sent == flow.size) flow.unsent.reset();
      } else if (errno == EAGAIN) {
        to.writable = false;
      } else if (errno != EINTR) {
        drop(flow);
      }
      continue;
    }
    if (flow.read_end) {
      shutdown(to.fd, SHUT_WR);
      flow.done = true;
      return Stop::kWaiting;
    }
    if (!from.readable || !to.writable) return Stop::kWaiting;
    if (blocks++ == kBlocksPerTurn) return Stop::kTurnOver;
    const ssize_t got = recv(from.fd, scratch, kBlock, MSG_DONTWAIT);
    if (got == 0) {
      flow.read_end = true;
      continue;
    }
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Stop::kReadFailed;
      from.readable = false;
      return Stop::kWaiting;
    }
    const size_t size = static_cast<size_t>(got);
    // A short read took all there was, and what comes later is a new edge; an end that epoll has told of is not.
    if (size < kBlock && !from.ending) from.readable = false;
    const ssize_t n = send(to.fd, scratch, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      flow.done = true;
      return Stop::kWaiting;
    }
    if (n < 0 && errno == EAGAIN) to.writable = false;
    const size_t sent = n < 0 ? 0 : static_cast<size_t>(n);
    count(flow, sent);
    if (sent == size) continue;
    flow.unsent.reset(new (std::nothrow) uint8_t[size - sent]);
    if (!flow.unsent) {
      // No memory: the stream has a hole now, so it must not go on.
      errno = ENOMEM;
      return Stop::kReadFailed;
    }
    memcpy(flow.unsent.get(), scratch + sent, size - sent);
    flow.size = size - sent;
    flow.sent = 0;
  }
  return Stop::kWaiting;
}

}  // namespace nitro
