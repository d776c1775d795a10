// One relayed connection: a vsock on the remote side, our end of a Unix socket pair on the local side, and the two
// directions between them; or two sockets of any kind that were joined. Sockets are non-blocking; readiness is
// remembered, since epoll reports edges.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace nitro {

// Small enough that what was read is still in a cache near the core when it is sent.
constexpr size_t kBlock = 64 * 1024;

// Bytes that joined links have moved, added up. Read by another thread.
struct Traffic {
  std::atomic<uint64_t> up{0};    // local to remote
  std::atomic<uint64_t> down{0};  // remote to local
};

// Bytes that go before all others of their direction.
struct Head {
  std::unique_ptr<uint8_t[]> bytes;
  size_t size = 0;
};

class Link {
 public:
  // kWaiting: until the next event. kAgain: its turn was over before the work. kReset: the remote failed, Node is to be
  // told and closes its end. kOver: nothing is left to do.
  enum class Turn { kWaiting, kAgain, kReset, kOver };

  // Takes both descriptors over.
  Link(int remote, int local) : remote_{remote, false, false, false}, local_{local, false, false, false} {}
  // Joins two sockets: nobody here is told of a failure, so the end of one is the end of the other.
  Link(int remote, int local, Traffic* traffic, Head up, Head down);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // What epoll reported of a side.
  void on_remote(uint32_t events);
  void on_local(uint32_t events);
  // Moves bytes through `scratch` of kBlock bytes. After kReset, `error` is its errno; after kOver, why or 0.
  Turn pump(uint8_t* scratch, int* error);
  // Node ends: from now on only what it has written is moved.
  void stop();
  // Every byte that Node has written is with the kernel.
  bool drained() const { return out_.done || (!out_.unsent && !local_.readable); }
  // Node's end is closed, or will be. Joined sockets have their own limit for a peer that takes nothing.
  bool local_is_leaving() const { return !joined_ && (local_gone_ || reset_); }
  // Whether bytes were sent since it was last asked.
  bool take_activity();
  // Closing shall look like a failure and not like an orderly end.
  void abort();

 private:
  struct Side {
    int fd;
    bool readable;
    bool writable;
    bool ending;  // epoll has told of its end or of a failure
  };
  struct Flow {
    std::unique_ptr<uint8_t[]> unsent;  // a block that the other side did not take whole
    size_t size = 0;
    size_t sent = 0;
    bool read_end = false;  // the source has ended
    bool done = false;      // and the target knows; or the target is gone
    std::atomic<uint64_t>* moved = nullptr;
  };
  enum class Stop { kWaiting, kTurnOver, kReadFailed };

  static void note(Side& side, uint32_t events);
  static void drop(Flow& flow);
  Stop move(Side& from, Side& to, Flow& flow, uint8_t* scratch);
  void count(const Flow& flow, size_t size);
  Turn pump_joined(uint8_t* scratch, int* error);
  Turn await_close(uint8_t* scratch);

  Side remote_;
  Side local_;
  Flow in_;   // remote to local
  Flow out_;  // local to remote
  bool local_gone_ = false;
  bool reset_ = false;
  bool active_ = false;
  const bool joined_ = false;
};

}  // namespace nitro
