// What the rest needs of the system: the NSM device and vsock addresses. platform-linux.cc is the real thing;
// platform-fake.cc stands in for it in the tests' library. Every function gives a negative errno on failure.
#pragma once

#include <napi.h>
#include <sys/socket.h>

#include <cstdint>

namespace nitro {

// Opens the device for reading and writing.
int platform_open(const char* path);

// One ioctl call; `message` is the four words of the NSM driver.
int platform_ioctl(int fd, unsigned long number, void* message);

// A new non-blocking stream socket that programs started from here do not inherit.
int platform_socket();

// Starts connecting a socket; the system tries at least as long as `timeout_ms`. 0 when it is connected or under way.
int platform_connect(int fd, uint32_t cid, uint32_t port, uint32_t timeout_ms);

// The address of a port, to listen on.
int platform_address(uint32_t cid, uint32_t port, sockaddr_storage* address, socklen_t* length);

// Who an address is.
void platform_peer(const sockaddr_storage& address, socklen_t length, uint32_t* cid, uint32_t* port);

// Adds what only the tests' library has.
void platform_exports(Napi::Env env, Napi::Object exports);

}  // namespace nitro
