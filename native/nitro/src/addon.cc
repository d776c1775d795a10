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
#include "relay-object.h"

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
