// Arguments as they come from JavaScript, checked: a wrong type is a TypeError, a wrong range a RangeError, never a crash.
// Also how results and system errors go back. Read numbers and objects before taking byte views: getters may run JavaScript.
#pragma once
#include <napi.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

static_assert(std::endian::native == std::endian::little, "records are written in host order");

namespace varve {

constexpr uint64_t MAX_SAFE = (uint64_t{1} << 53) - 1;

/** Memory of a typed array. Valid while the JavaScript caller's call lasts; the caller owns it. */
struct Bytes {
  uint8_t* data;
  size_t size;
};

struct Words {
  uint32_t* data;
  size_t count;
};

/** Name of an errno ('ENOENT'). */
inline std::string errnoName(int number) {
#if defined(__GLIBC__)
  if (const char* name = strerrorname_np(number)) return name;
#endif
  return "E" + std::to_string(number);
}

/** Error with `code`, `errno` (positive) and `syscall`, as lib/native.ts promises. */
inline Napi::Error systemError(Napi::Env env, int number, const char* syscall, const std::string& detail = "") {
  std::string code = errnoName(number);
  std::string message = code + ": " + std::strerror(number) + ", " + syscall;
  if (!detail.empty()) message += " '" + detail + "'";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.Set("errno", Napi::Number::New(env, number));
  error.Set("syscall", Napi::String::New(env, syscall));
  return error;
}

inline Napi::RangeError rangeError(Napi::Env env, const std::string& message) { return Napi::RangeError::New(env, message); }

namespace detail {
inline void typedArray(const Napi::CallbackInfo& info, size_t index, const char* name, napi_typedarray_type wanted, void** data, size_t* count) {
  napi_env env = info.Env();
  napi_value value = info[index];
  bool isTyped = false;
  napi_typedarray_type type = napi_int8_array;
  if (napi_is_typedarray(env, value, &isTyped) != napi_ok || !isTyped ||
      napi_get_typedarray_info(env, value, &type, count, data, nullptr, nullptr) != napi_ok || type != wanted) {
    throw Napi::TypeError::New(env, std::string(name) + (wanted == napi_uint8_array ? " must be a Uint8Array" : " must be a Uint32Array"));
  }
}
}  // namespace detail

inline Bytes bytesArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  void* data = nullptr;
  size_t size = 0;
  detail::typedArray(info, index, name, napi_uint8_array, &data, &size);
  return {static_cast<uint8_t*>(data), size};
}

/** Bytes of exactly `size`. */
inline Bytes bytesArg(const Napi::CallbackInfo& info, size_t index, const char* name, size_t size) {
  Bytes bytes = bytesArg(info, index, name);
  if (bytes.size != size) throw rangeError(info.Env(), std::string(name) + " must have " + std::to_string(size) + " bytes");
  return bytes;
}

inline Words wordsArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  void* data = nullptr;
  size_t count = 0;
  detail::typedArray(info, index, name, napi_uint32_array, &data, &count);
  return {static_cast<uint32_t*>(data), count};
}

/** A whole number in [low, high]. */
inline int64_t integerOf(Napi::Env env, napi_value value, const char* name, int64_t low, int64_t high) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) throw Napi::TypeError::New(env, std::string(name) + " must be a number");
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) || number != std::floor(number)) {
    throw rangeError(env, std::string(name) + " must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return static_cast<int64_t>(number);
}

inline int64_t integerArg(const Napi::CallbackInfo& info, size_t index, const char* name, int64_t low, int64_t high) {
  return integerOf(info.Env(), info[index], name, low, high);
}

inline uint32_t u32Arg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<uint32_t>(integerArg(info, index, name, 0, 0xffffffff));
}

inline int fdArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<int>(integerArg(info, index, name, 0, 0x7fffffff));
}

/** A file offset or length in bytes. */
inline uint64_t sizeArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<uint64_t>(integerArg(info, index, name, 0, static_cast<int64_t>(MAX_SAFE)));
}

inline bool boolArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  bool value = false;
  if (napi_get_value_bool(info.Env(), info[index], &value) != napi_ok) {
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a boolean");
  }
  return value;
}

/** Path or name bytes as a C++ string; NUL cannot be part of one. */
inline std::string pathArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  Bytes bytes = bytesArg(info, index, name);
  if (bytes.size != 0 && std::memchr(bytes.data, 0, bytes.size) != nullptr) {
    throw Napi::TypeError::New(info.Env(), std::string(name) + " must not contain a NUL byte");
  }
  return std::string(reinterpret_cast<const char*>(bytes.data), bytes.size);
}

/** True when [offset, offset + length) lies inside `size` bytes; immune to overflow. */
inline bool inside(uint64_t offset, uint64_t length, uint64_t size) { return offset <= size && length <= size - offset; }

/** Checks `[offset,length]` pairs against the bytes they point into; returns the number of pairs. */
inline size_t checkedPieces(Napi::Env env, Words pieces, size_t size) {
  if (pieces.count % 2 != 0) throw rangeError(env, "pieces must hold pairs");
  for (size_t at = 0; at < pieces.count; at += 2) {
    if (!inside(pieces.data[at], pieces.data[at + 1], size)) throw rangeError(env, "a piece lies outside the data");
  }
  return pieces.count / 2;
}

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void store(uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

inline Napi::Uint8Array copyOut(Napi::Env env, const void* data, size_t size) {
  Napi::Uint8Array out = Napi::Uint8Array::New(env, size);
  if (size != 0) std::memcpy(out.Data(), data, size);
  return out;
}

}  // namespace varve
