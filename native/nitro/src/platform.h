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

// Readies a socket that is to connect: the system waits as long as we do, and the socket has an address of its own.
int platform_before_connect(int fd, uint32_t timeout_ms);

// The address of a port, for bind or connect.
int platform_address(uint32_t cid, uint32_t port, sockaddr_storage* address, socklen_t* length);

// Who an address is.
void platform_peer(const sockaddr_storage& address, socklen_t length, uint32_t* cid, uint32_t* port);

// Adds what only the tests' library has.
void platform_exports(Napi::Env env, Napi::Object exports);

}  // namespace nitro
