// Joined sockets: how they begin, and how those end over which nothing goes any more.
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "relay.h"

namespace nitro {
namespace {

// How often idle links are looked for, as a part of the shortest limit; never more often than this.
constexpr int64_t kLooksPerLimit = 4;
constexpr int64_t kSoonestLookMs = 5;

}  // namespace

void Relay::add_join(uint64_t id, Join join) {
  post({Command::What::kJoin, id, -1, 0, std::make_unique<Join>(std::move(join))});
}

const Traffic& Relay::traffic(uint32_t group) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return traffic_[group];
}

void Relay::on_join(uint64_t id, uint64_t owner, Join& join) {
  Traffic* traffic;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    traffic = &traffic_[join.group];
  }
  constexpr uint32_t kAll = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  const int64_t now = now_ms();
  links_[id] = std::make_unique<Link>(join.remote, join.local, traffic, std::move(join.up), std::move(join.down));
  joins_[id] = Joined{owner, join.idle_ms, now};
  join_links_[owner] = id;
  int bad = watch(join.remote, id, kAll);
  if (bad == 0) bad = watch(join.local, id | kLocalBit, kAll);
  if (bad < 0) return close_link(id, -bad);
  look_idle_every_ms_ = std::clamp(int64_t{join.idle_ms} / kLooksPerLimit, kSoonestLookMs, look_idle_every_ms_);
  look_idle_at_ms_ = std::min(look_idle_at_ms_, now + look_idle_every_ms_);
}

void Relay::end_idle(int64_t now) {
  std::vector<uint64_t> over;
  for (auto& [id, joined] : joins_) {
    if (links_[id]->take_activity()) joined.active_at_ms = now;
    if (now - joined.active_at_ms >= joined.idle_ms) over.push_back(id);
  }
  for (const uint64_t id : over) close_link(id, ETIMEDOUT);
  look_idle_at_ms_ = joins_.empty() ? kNever : now + look_idle_every_ms_;
}

}  // namespace nitro
