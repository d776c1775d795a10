#include "relay.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

namespace nitro {
namespace {

constexpr int64_t kLingerMs = 30'000;  // for a peer that takes no bytes although nobody waits here any more
constexpr int64_t kStopMs = 2'000;
constexpr uint64_t kWakeToken = 0;

}  // namespace

int64_t Relay::now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

Relay::~Relay() { stop(); }

int Relay::start() {
  scratch_.reset(new (std::nothrow) uint8_t[kBlock]);
  if (!scratch_) return -ENOMEM;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return -errno;
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0 || watch(wake_, kWakeToken, EPOLLIN) < 0) return -errno;
  // Signals are Node's business.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int bad = pthread_create(&thread_, nullptr, &Relay::run_thread, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  running_ = bad == 0;
  return -bad;
}

void Relay::stop() {
  if (running_) {
    post({Command::What::kStop, 0, -1, 0});
    pthread_join(thread_, nullptr);
    running_ = false;
  }
  if (epoll_ >= 0) close(epoll_);
  if (wake_ >= 0) close(wake_);
  epoll_ = wake_ = -1;
}

void Relay::add_connect(uint64_t id, int fd, uint32_t timeout_ms) {
  post({Command::What::kConnect, id, fd, timeout_ms});
}

void Relay::add_listener(uint64_t id, int fd, uint32_t max_connections) {
  post({Command::What::kListen, id, fd, max_connections});
}

void Relay::cancel(uint64_t id) { post({Command::What::kCancel, id, -1, 0}); }

uint32_t Relay::size() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return size_;
}

void Relay::post(Command command) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(std::move(command));
  }
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the thread is awake anyway.
  if (write(wake_, &one, sizeof one) < 0) return;
}

int Relay::watch(int fd, uint64_t token, uint32_t events) {
  epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = events;
  event.data.u64 = token;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void Relay::tell(EventKind kind, uint64_t id, int fd, int error, uint32_t cid, uint32_t port, uint64_t link) {
  notify_(context_, Event{kind, id, fd, error, cid, port, link});
}

void* Relay::run_thread(void* self) {
  static_cast<Relay*>(self)->run();
  return nullptr;
}

void Relay::run() {
  epoll_event events[256];
  for (;;) {
    const int count = epoll_wait(epoll_, events, 256, timeout_ms());
    for (int i = 0; i < count; i++) on_epoll(events[i].data.u64, events[i].events);
    std::unordered_set<uint64_t> turn;
    turn.swap(ready_);
    for (const uint64_t id : turn) pump(id);
    expire();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      size_ = static_cast<uint32_t>(links_.size());
    }
    if (stopping_ && (now_ms() >= stop_at_ms_ || drained())) break;
  }
  links_.clear();
}

// Every byte that Node has written is with the kernel of the other side.
bool Relay::drained() const {
  if (!ready_.empty()) return false;
  for (const auto& [id, link] : links_) {
    if (!link->drained()) return false;
  }
  return true;
}

int Relay::timeout_ms() const {
  if (!ready_.empty()) return 0;
  int64_t first = std::min(stopping_ ? stop_at_ms_ : kNever, look_idle_at_ms_);
  for (const auto& [token, connect] : connects_) first = std::min(first, connect.give_up_at_ms);
  for (const auto& [token, listener] : listeners_) first = std::min(first, listener.retry_at_ms);
  for (const auto& [id, at] : leaving_) first = std::min(first, at);
  if (first == kNever) return -1;
  const int64_t wait = first - now_ms();
  return wait < 0 ? 0 : wait > 60'000 ? 60'000 : static_cast<int>(wait) + 1;
}

void Relay::expire() {
  const int64_t now = now_ms();
  std::vector<uint64_t> over;
  for (const auto& [token, connect] : connects_) {
    if (connect.give_up_at_ms <= now) over.push_back(token);
  }
  for (const uint64_t token : over) on_connect(token, ETIMEDOUT);
  over.clear();
  for (const auto& [id, at] : leaving_) {
    if (at <= now) over.push_back(id);
  }
  for (const uint64_t id : over) close_link(id, ETIMEDOUT);
  if (look_idle_at_ms_ <= now) end_idle(now);
  for (auto& [token, listener] : listeners_) {
    if (listener.retry_at_ms <= now) on_accept(listener);
  }
}

void Relay::take_commands() {
  uint64_t count;
  while (read(wake_, &count, sizeof count) > 0) {
  }
  std::vector<Command> commands;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands.swap(commands_);
  }
  for (Command& command : commands) {
    const uint64_t token = next_token_++;
    switch (command.what) {
      case Command::What::kConnect: {
        connects_[token] = Connect{command.id, command.fd, now_ms() + command.number};
        const int bad = watch(command.fd, token, EPOLLOUT | EPOLLET);
        if (bad < 0) on_connect(token, -bad);
        break;
      }
      case Command::What::kListen: {
        const int bad = watch(command.fd, token, EPOLLIN | EPOLLET);
        listeners_[token] = Listener{command.id, command.fd, command.number, kNever};
        if (bad < 0) end_listener(token, -bad);
        break;
      }
      case Command::What::kJoin: {
        on_join(token, command.id, *command.join);
        break;
      }
      case Command::What::kCancel: {
        if (const auto join = join_links_.find(command.id); join != join_links_.end()) {
          close_link(join->second, ECANCELED);
          break;
        }
        for (const auto& [at, connect] : connects_) {
          if (connect.owner != command.id) continue;
          on_connect(at, ECANCELED);
          break;
        }
        for (const auto& [at, listener] : listeners_) {
          if (listener.owner != command.id) continue;
          end_listener(at, 0);
          break;
        }
        break;
      }
      case Command::What::kStop: {
        stopping_ = true;
        stop_at_ms_ = now_ms() + kStopMs;
        for (const auto& [at, connect] : connects_) close(connect.fd);
        connects_.clear();
        for (const auto& [at, listener] : listeners_) close(listener.fd);
        listeners_.clear();
        for (const auto& [id, joined] : joins_) links_.erase(id);
        joins_.clear();
        join_links_.clear();
        for (const auto& [id, link] : links_) {
          link->stop();
          ready_.insert(id);
        }
        break;
      }
    }
  }
}

void Relay::on_epoll(uint64_t token, uint32_t events) {
  if (token == kWakeToken) return take_commands();
  if (connects_.contains(token)) return on_connect(token, 0);
  if (const auto listener = listeners_.find(token); listener != listeners_.end()) return on_accept(listener->second);
  const uint64_t id = token & ~kLocalBit;
  const auto found = links_.find(id);
  if (found == links_.end()) return;
  if (token & kLocalBit) {
    found->second->on_local(events);
  } else {
    found->second->on_remote(events);
  }
  pump(id);
}

void Relay::pump(uint64_t id) {
  const auto found = links_.find(id);
  if (found == links_.end()) return;
  Link& link = *found->second;
  int error = 0;
  const Link::Turn turn = link.pump(scratch_.get(), &error);
  if (turn == Link::Turn::kOver) return close_link(id, error);
  if (turn == Link::Turn::kAgain) ready_.insert(id);
  if (turn == Link::Turn::kReset) tell(EventKind::kReset, 0, -1, error, 0, 0, id);
  // A peer that takes nothing shall not keep what nobody waits for any more.
  if (link.local_is_leaving()) leaving_.try_emplace(id, now_ms() + kLingerMs);
}

void Relay::close_link(uint64_t id, int error) {
  const auto joined = joins_.find(id);
  if (joined != joins_.end()) {
    if (error != 0) links_[id]->abort();
    tell(EventKind::kEnded, joined->second.owner, -1, error, 0, 0, 0);
    join_links_.erase(joined->second.owner);
    joins_.erase(joined);
  }
  links_.erase(id);
  leaving_.erase(id);
}

}  // namespace nitro
