// One relayed connection: a vsock on the remote side, our end of a Unix socket pair on the local side, and the two
// directions between them. Sockets are non-blocking; readiness is remembered, since epoll reports edges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace nitro {

constexpr size_t kBlock = 256 * 1024;

class Link {
 public:
  // kWaiting: until the next event. kAgain: its turn was over before the work. kReset: the remote failed, Node is to be
  // told and closes its end. kOver: nothing is left to do.
  enum class Turn { kWaiting, kAgain, kReset, kOver };

  // Takes both descriptors over.
  Link(int remote, int local) : remote_{remote, false, false}, local_{local, false, false} {}
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // What epoll reported of a side.
  void on_remote(uint32_t events) { note(remote_, events); }
  void on_local(uint32_t events);
  // Moves bytes through `scratch` of kBlock bytes. After kReset, `error` is its errno.
  Turn pump(uint8_t* scratch, int* error);
  // Node ends: from now on only what it has written is moved.
  void stop();
  // Every byte that Node has written is with the kernel.
  bool drained() const { return out_.done || (!out_.unsent && !local_.readable); }
  // Node's end is closed, or will be.
  bool local_is_leaving() const { return local_gone_ || reset_; }

 private:
  struct Side {
    int fd;
    bool readable;
    bool writable;
  };
  struct Flow {
    std::unique_ptr<uint8_t[]> unsent;  // a block that the other side did not take whole
    size_t size = 0;
    size_t sent = 0;
    bool read_end = false;  // the source has ended
    bool done = false;      // and the target knows; or the target is gone
  };
  enum class Stop { kWaiting, kTurnOver, kReadFailed };

  static void note(Side& side, uint32_t events);
  static void drop(Flow& flow);
  Stop move(Side& from, Side& to, Flow& flow, uint8_t* scratch);
  Turn await_close(uint8_t* scratch);

  Side remote_;
  Side local_;
  Flow in_;   // remote to local
  Flow out_;  // local to remote
  bool local_gone_ = false;
  bool reset_ = false;
};

}  // namespace nitro
