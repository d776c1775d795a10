// What JavaScript sees: openDevice and startRelay. Thin on purpose: the TypeScript beside this folder checks arguments,
// failures go back as negative errno numbers, and nothing throws.
#include <errno.h>
#include <napi.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <new>
#include <string>

#include "platform.h"
#include "relay.h"

namespace nitro {
namespace {

constexpr unsigned long kNsmRequest = 0xC0200A00;  // _IOWR(0x0A, 0, four words)
constexpr size_t kMaxRequest = 0x1000;
constexpr size_t kMaxResponse = 0x3000;

struct NsmMessage {
  uint64_t request;
  uint64_t request_size;
  uint64_t response;
  uint64_t response_size;
};
static_assert(sizeof(NsmMessage) == 32, "the size is part of the ioctl's number");

// One request on the thread pool. Buffers live and die with it and are zero before and after, so an answer can hold
// nothing of another one.
class NsmRequest : public Napi::AsyncWorker {
 public:
  NsmRequest(Napi::Env env, int fd, const uint8_t* request, size_t size)
      : Napi::AsyncWorker(env, "nsm"), deferred_(Napi::Promise::Deferred::New(env)), fd_(fd), size_(size) {
    memcpy(request_, request, size);
  }
  ~NsmRequest() override {
    explicit_bzero(request_, sizeof request_);
    explicit_bzero(response_, sizeof response_);
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    do {
      NsmMessage message;
      message.request = reinterpret_cast<uint64_t>(request_);
      message.request_size = size_;
      message.response = reinterpret_cast<uint64_t>(response_);
      message.response_size = sizeof response_;
      result_ = platform_ioctl(fd_, kNsmRequest, &message);
      answered_ = message.response_size;
    } while (result_ == -EINTR);
    if (result_ == 0 && answered_ > sizeof response_) result_ = -EOVERFLOW;
    if (result_ > 0) result_ = 0;
  }

  void OnOK() override {
    if (result_ < 0) return deferred_.Resolve(Napi::Number::New(Env(), result_));
    const size_t size = static_cast<size_t>(answered_);
    Napi::Uint8Array response = Napi::Uint8Array::New(Env(), size);
    if (size > 0) memcpy(response.Data(), response_, size);
    deferred_.Resolve(response);
  }

 private:
  Napi::Promise::Deferred deferred_;
  int fd_;
  size_t size_;
  int result_ = -EIO;
  uint64_t answered_ = 0;
  uint8_t request_[kMaxRequest] = {};
  uint8_t response_[kMaxResponse] = {};
};

class Device : public Napi::ObjectWrap<Device> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NsmDevice",
                       {InstanceMethod<&Device::request>("request"), InstanceMethod<&Device::close_fd>("close")});
  }
  explicit Device(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Device>(info) {}
  ~Device() override { close_now(); }

  void adopt(int fd) { fd_ = fd; }

 private:
  Napi::Value request(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    int bad = fd_ < 0 ? -EBADF : 0;
    if (bad == 0 && (info.Length() < 1 || !info[0].IsTypedArray())) bad = -EINVAL;
    if (bad == 0 && info[0].As<Napi::TypedArray>().ByteLength() > kMaxRequest) bad = -E2BIG;
    NsmRequest* worker = nullptr;
    if (bad == 0) {
      const Napi::TypedArray view = info[0].As<Napi::TypedArray>();
      const auto* bytes = static_cast<const uint8_t*>(view.ArrayBuffer().Data()) + view.ByteOffset();
      worker = new (std::nothrow) NsmRequest(env, fd_, bytes, view.ByteLength());
      if (worker == nullptr) bad = -ENOMEM;
    }
    if (bad != 0) {
      const auto deferred = Napi::Promise::Deferred::New(env);
      deferred.Resolve(Napi::Number::New(env, bad));
      return deferred.Promise();
    }
    const Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
  }

  void close_fd(const Napi::CallbackInfo&) { close_now(); }

  void close_now() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  int fd_ = -1;
};

// The relay and its way back to JavaScript. The event loop is kept alive while a connect or a listener is under way;
// connections keep it alive themselves, by Node's end of the pair.
class RelayObject : public Napi::ObjectWrap<RelayObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "VsockRelay",
                       {InstanceMethod<&RelayObject::connect_to>("connect"), InstanceMethod<&RelayObject::listen_on>("listen"),
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
    if (e.kind == EventKind::kConnected || e.kind == EventKind::kFailed || e.kind == EventKind::kListenerClosed) {
      self->settle(env);
    }
    on_event.Call({Napi::Number::New(env, static_cast<uint32_t>(e.kind)), Napi::Number::New(env, static_cast<double>(e.id)),
                   Napi::Number::New(env, e.fd), Napi::Number::New(env, e.error), Napi::Number::New(env, e.cid),
                   Napi::Number::New(env, e.port), Napi::Number::New(env, static_cast<double>(e.link))});
  }

  Relay relay_{&RelayObject::notify, this};
  Napi::ThreadSafeFunction events_;
  uint32_t pending_ = 0;
  bool ended_ = false;  // the relay's thread only
};

struct Classes {
  Napi::FunctionReference device;
  Napi::FunctionReference relay;
};

Napi::Value open_device(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = platform_open(info[0].ToString().Utf8Value().c_str());
  if (fd < 0) return Napi::Number::New(env, fd);
  const Napi::Object object = env.GetInstanceData<Classes>()->device.New({});
  Device::Unwrap(object)->adopt(fd);
  return object;
}

Napi::Value start_relay(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction()) return Napi::Number::New(env, -EINVAL);
  const Napi::Object object = env.GetInstanceData<Classes>()->relay.New({});
  const int bad = RelayObject::Unwrap(object)->start(env, info[0].As<Napi::Function>());
  if (bad < 0) return Napi::Number::New(env, bad);
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* classes = new (std::nothrow) Classes;
  if (classes == nullptr) return exports;  // found out by the loader: its functions are missing
  classes->device = Napi::Persistent(Device::define(env));
  classes->relay = Napi::Persistent(RelayObject::define(env));
  env.SetInstanceData(classes);
  exports.Set("openDevice", Napi::Function::New(env, open_device));
  exports.Set("startRelay", Napi::Function::New(env, start_relay));
  platform_exports(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(nitro, init)

}  // namespace nitro
