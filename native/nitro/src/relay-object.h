// The relay as JavaScript has it, and its way back to JavaScript.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <napi.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <new>

#include "platform.h"
#include "relay.h"

namespace nitro {

// The event loop is kept alive while a connect, a listener or a join is under way; connections keep it alive
// themselves, by Node's end of the pair.
class RelayObject : public Napi::ObjectWrap<RelayObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "VsockRelay",
                       {InstanceMethod<&RelayObject::connect_to>("connect"), InstanceMethod<&RelayObject::listen_on>("listen"),
                        InstanceMethod<&RelayObject::join>("join"), InstanceMethod<&RelayObject::traffic>("traffic"),
                        InstanceMethod<&RelayObject::cancel>("cancel"), InstanceMethod<&RelayObject::size>("size")});
  }
  explicit RelayObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RelayObject>(info) {}

  int start(Napi::Env env, Napi::Function on_event) {
    events_ = Napi::ThreadSafeFunction::New(env, on_event, "vsock relay", 0, 1);
    events_.Unref(env);
    const int bad = relay_.start();
    if (bad < 0) {
      events_.Release();
      return bad;
    }
    Ref();  // until the environment ends: the thread holds on to this object
    // Added after the function's own hook, so it runs before it: the thread never calls a function that is gone.
    env.AddCleanupHook([](RelayObject* self) { self->end(); }, this);
    return 0;
  }

 private:
  struct Delivery {
    RelayObject* self;
    Event event;
  };

  void end() {
    relay_.stop();
    events_.Release();
  }

  void begin(Napi::Env env) {
    if (pending_++ == 0) events_.Ref(env);
  }
  void settle(Napi::Env env) {
    if (--pending_ == 0) events_.Unref(env);
  }

  Napi::Value connect_to(const Napi::CallbackInfo& info) {
    const uint64_t id = static_cast<uint64_t>(info[0].ToNumber().Int64Value());
    const uint32_t timeout_ms = info[3].ToNumber().Uint32Value();
    const int fd = platform_socket();
    if (fd < 0) return Napi::Number::New(info.Env(), fd);
    const int bad =
        platform_connect(fd, info[1].ToNumber().Uint32Value(), info[2].ToNumber().Uint32Value(), timeout_ms);
    if (bad < 0) {
      close(fd);
      return Napi::Number::New(info.Env(), bad);
    }
    begin(info.Env());
    relay_.add_connect(id, fd, timeout_ms);
    return Napi::Number::New(info.Env(), 0);
  }

  Napi::Value listen_on(const Napi::CallbackInfo& info) {
    const uint64_t id = static_cast<uint64_t>(info[0].ToNumber().Int64Value());
    const int backlog = info[3].ToNumber().Int32Value();
    sockaddr_storage address;
    socklen_t length = 0;
    int bad = platform_address(info[1].ToNumber().Uint32Value(), info[2].ToNumber().Uint32Value(), &address, &length);
    if (bad < 0) return Napi::Number::New(info.Env(), bad);
    const int fd = platform_socket();
    if (fd < 0) return Napi::Number::New(info.Env(), fd);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) < 0 || listen(fd, backlog) < 0) {
      bad = -errno;
      close(fd);
      return Napi::Number::New(info.Env(), bad);
    }
    begin(info.Env());
    relay_.add_listener(id, fd, info[4].ToNumber().Uint32Value());
    return Napi::Number::New(info.Env(), 0);
  }

  // Node keeps its own descriptors and closes them.
  Napi::Value join(const Napi::CallbackInfo& info) {
    const int local = fcntl(info[1].ToNumber().Int32Value(), F_DUPFD_CLOEXEC, 0);
    if (local < 0) return Napi::Number::New(info.Env(), -errno);
    const int remote = fcntl(info[2].ToNumber().Int32Value(), F_DUPFD_CLOEXEC, 0);
    if (remote < 0) {
      const int bad = -errno;
      close(local);
      return Napi::Number::New(info.Env(), bad);
    }
    const uint64_t id = static_cast<uint64_t>(info[0].ToNumber().Int64Value());
    begin(info.Env());
    relay_.add_join(id, Join{remote, local, info[3].ToNumber().Uint32Value(), info[4].ToNumber().Uint32Value(),
                             head(info[5]), head(info[6])});
    return Napi::Number::New(info.Env(), 0);
  }

  static Head head(const Napi::Value& value) {
    const Napi::Uint8Array view = value.As<Napi::Uint8Array>();
    Head head;
    head.size = view.ByteLength();
    if (head.size == 0) return head;
    head.bytes = std::make_unique<uint8_t[]>(head.size);
    memcpy(head.bytes.get(), view.Data(), head.size);
    return head;
  }

  Napi::Value traffic(const Napi::CallbackInfo& info) {
    const Traffic& traffic = relay_.traffic(info[0].ToNumber().Uint32Value());
    const Napi::Array both = Napi::Array::New(info.Env(), 2);
    both.Set(0u, Napi::Number::New(info.Env(), static_cast<double>(traffic.up.load(std::memory_order_relaxed))));
    both.Set(1u, Napi::Number::New(info.Env(), static_cast<double>(traffic.down.load(std::memory_order_relaxed))));
    return both;
  }

  void cancel(const Napi::CallbackInfo& info) { relay_.cancel(static_cast<uint64_t>(info[0].ToNumber().Int64Value())); }

  Napi::Value size(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), relay_.size()); }

  // On the relay's thread.
  static void notify(void* context, const Event& event) {
    auto* self = static_cast<RelayObject*>(context);
    auto* copy = self->ended_ ? nullptr : new (std::nothrow) Delivery{self, event};
    if (copy != nullptr && self->events_.BlockingCall(copy, &RelayObject::deliver) == napi_ok) return;
    // Node is ending: nobody takes the descriptor.
    self->ended_ = true;
    delete copy;
    if (event.fd >= 0) close(event.fd);
  }

  // On Node's thread.
  static void deliver(Napi::Env env, Napi::Function on_event, Delivery* delivery) {
    const auto [self, e] = *delivery;
    delete delivery;
    // These come once for each call; the others come in between.
    if (e.kind != EventKind::kAccepted && e.kind != EventKind::kReset) self->settle(env);
    on_event.Call({Napi::Number::New(env, static_cast<uint32_t>(e.kind)), Napi::Number::New(env, static_cast<double>(e.id)),
                   Napi::Number::New(env, e.fd), Napi::Number::New(env, e.error), Napi::Number::New(env, e.cid),
                   Napi::Number::New(env, e.port), Napi::Number::New(env, static_cast<double>(e.link))});
  }

  Relay relay_{&RelayObject::notify, this};
  Napi::ThreadSafeFunction events_;
  uint32_t pending_ = 0;
  bool ended_ = false;  // the relay's thread only
};

}  // namespace nitro
