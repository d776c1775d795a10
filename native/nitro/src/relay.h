// Relays vsock connections to Unix socket pairs: one epoll thread for all connections, connects and listeners.
//
// The other end of each pair is Node's. It also joins sockets that Node made and gave away. Bytes are hostile and go through unread. Memory is bounded: a direction reads
// only what the other side takes, and keeps at most one unsent block.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "link.h"

namespace nitro {

// Numbers as in ../vsock.ts.
enum class EventKind : uint32_t { kConnected = 1, kFailed = 2, kAccepted = 3, kListenerClosed = 4, kReset = 5, kEnded = 6 };

struct Event {
  EventKind kind;
  uint64_t id;    // the connect's, listener's or join's; of an accepted connection: its listener's
  int fd;         // Node's end of the pair, or -1
  int error;      // errno, or 0
  uint32_t cid;   // the peer
  uint32_t port;
  uint64_t link;  // names the connection in later events
};

// Two sockets to be joined: what goes up goes from local to remote.
struct Join {
  int remote;
  int local;
  uint32_t group;  // whose traffic it is
  uint32_t idle_ms;
  Head up;
  Head down;
};

class Relay {
 public:
  using Notify = void (*)(void* context, const Event& event);

  Relay(Notify notify, void* context) : notify_(notify), context_(context) {}
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // 0 or a negative errno; after a failure the relay is good for nothing.
  int start();
  // Ends listeners and connects, sends what Node has written so far for at most two seconds, then joins the thread.
  void stop();

  // These take over `fd`. Called on Node's thread.
  void add_connect(uint64_t id, int fd, uint32_t timeout_ms);
  void add_listener(uint64_t id, int fd, uint32_t max_connections);
  void add_join(uint64_t id, Join join);
  void cancel(uint64_t id);
  uint32_t size();
  // What a group's joins have moved so far.
  const Traffic& traffic(uint32_t group);

 private:
  static constexpr int64_t kNever = INT64_MAX;
  // Of an epoll token: the socket pair's side of a link.
  static constexpr uint64_t kLocalBit = uint64_t{1} << 63;
  static int64_t now_ms();

  struct Connect {
    uint64_t owner;
    int fd;
    int64_t give_up_at_ms;
  };
  struct Listener {
    uint64_t owner;
    int fd;
    uint32_t max_connections;
    int64_t retry_at_ms;
  };
  struct Command {
    enum class What { kConnect, kListen, kJoin, kCancel, kStop } what;
    uint64_t id;
    int fd;
    uint32_t number;
    std::unique_ptr<Join> join = nullptr;
  };
  struct Joined {
    uint64_t owner;
    int64_t idle_ms;
    int64_t active_at_ms;
  };

  void post(Command command);
  static void* run_thread(void* self);
  void run();
  void take_commands();
  int timeout_ms() const;
  void expire();
  void on_epoll(uint64_t token, uint32_t events);
  void on_connect(uint64_t token, int error);
  void on_accept(Listener& listener);
  void end_listener(uint64_t token, int error);
  void add_link(uint64_t owner, EventKind kind, int fd);
  void on_join(uint64_t id, uint64_t owner, Join& join);
  void end_idle(int64_t now);
  void pump(uint64_t id);
  void close_link(uint64_t id, int error);
  bool drained() const;
  int watch(int fd, uint64_t token, uint32_t events);
  void tell(EventKind kind, uint64_t id, int fd, int error, uint32_t cid, uint32_t port, uint64_t link);

  Notify notify_;
  void* context_;
  pthread_t thread_{};
  bool running_ = false;
  int epoll_ = -1;
  int wake_ = -1;
  std::mutex mutex_;
  std::vector<Command> commands_;  // under mutex_
  uint32_t size_ = 0;              // under mutex_
  std::map<uint32_t, Traffic> traffic_;  // the map under mutex_; its entries stay where they are

  // The thread's own.
  uint64_t next_token_ = 1;
  bool stopping_ = false;
  int64_t stop_at_ms_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Link>> links_;
  std::unordered_map<uint64_t, Connect> connects_;
  std::unordered_map<uint64_t, Listener> listeners_;
  std::unordered_map<uint64_t, Joined> joins_;         // of links
  std::unordered_map<uint64_t, uint64_t> join_links_;  // an owner's link
  int64_t look_idle_at_ms_ = kNever;
  int64_t look_idle_every_ms_ = 1'000;
  std::unordered_set<uint64_t> ready_;               // links whose turn ended before they were done
  std::unordered_map<uint64_t, int64_t> leaving_;      // links that Node has left, and when they are closed at the latest
  std::unique_ptr<uint8_t[]> scratch_;
};

}  // namespace nitro
