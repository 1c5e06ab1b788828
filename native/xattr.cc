// Extended attributes and symlink targets of a path, as raw bytes and without following a symlink.
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "paths.h"

namespace varve {
namespace {

/** A name that path-only calls (there is no listxattrat(2) before Linux 6.13) take for a located path. */
std::string nameable(const Located& place) {
  if (place.directory == AT_FDCWD) return place.rest;
  return "/proc/self/fd/" + std::to_string(place.directory) + "/" + place.rest;
}

/** More than the kernel gives of a list, a value or a target (XATTR_LIST_MAX and XATTR_SIZE_MAX are 64 KiB). */
constexpr size_t ANSWER_MOST = 1 << 20;

/** Calls `read(buffer, size)` until its answer fits. Returns an errno or 0. */
template <typename Read>
int readGrowing(std::string& into, Read read) {
  into.resize(256);
  for (;;) {
    ssize_t got = read(into.data(), into.size());
    if (got >= 0 && static_cast<size_t>(got) < into.size()) {
      into.resize(static_cast<size_t>(got));
      return 0;
    }
    if (got < 0 && errno != ERANGE) return errno;
    // ERANGE is also said of a name that no call takes (xattr(7): above 255 bytes), whatever the buffer.
    if (into.size() >= ANSWER_MOST) return ERANGE;
    into.resize(into.size() * 4);
  }
}

Napi::Value getXattrs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = pathArg(info, 0, "path");
  Located place = locate(path);
  if (place.error != 0) throw systemError(env, place.error, "llistxattr", path);
  std::string at = nameable(place);
  std::string list;
  int error = readGrowing(list, [&](char* buffer, size_t size) { return llistxattr(at.c_str(), buffer, size); });
  if (error == ENOTSUP) list.clear();
  else if (error != 0) throw systemError(env, error, "llistxattr", path);

  std::vector<std::string> names;
  for (size_t begin = 0; begin < list.size();) {
    names.emplace_back(list.c_str() + begin);
    begin += names.back().size() + 1;
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  Napi::Array all = Napi::Array::New(env);
  uint32_t count = 0;
  for (const std::string& name : names) {
    std::string value;
    error = readGrowing(value, [&](char* buffer, size_t size) { return lgetxattr(at.c_str(), name.c_str(), buffer, size); });
    if (error == ENODATA) continue;  // removed since it was listed
    Napi::Array pair = Napi::Array::New(env, 2);
    pair.Set(0u, copyOut(env, name.data(), name.size()));
    if (error != 0) pair.Set(1u, Napi::Number::New(env, error));
    else pair.Set(1u, copyOut(env, value.data(), value.size()));
    all.Set(count++, pair);
  }
  return all;
}

// One byte per record of a scan: 1 where the entry has attributes, or asking failed. Saves a call into the addon for each file that has none.
Napi::Value haveXattrs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = pathArg(info, 0, "path");
  Bytes scan = bytesArg(info, 1, "scan");
  Located place = locate(path);
  if (place.error != 0) throw systemError(env, place.error, "llistxattr", path);
  std::string at = nameable(place) + "/";
  size_t prefix = at.size();
  std::vector<uint8_t> flags;
  for (size_t offset = 4; offset + 96 <= scan.size;) {
    uint32_t length;
    uint16_t nameLength;
    memcpy(&length, scan.data + offset, 4);
    memcpy(&nameLength, scan.data + offset + 4, 2);
    if (length < 96u + nameLength || length > scan.size - offset) throw Napi::RangeError::New(env, "scan: a record of an impossible length");
    at.resize(prefix);
    at.append(reinterpret_cast<const char*>(scan.data) + offset + 96, nameLength);
    ssize_t got = llistxattr(at.c_str(), nullptr, 0);
    flags.push_back(got == 0 || (got < 0 && errno == ENOTSUP) ? 0 : 1);
    offset += length;
  }
  return copyOut(env, reinterpret_cast<const char*>(flags.data()), flags.size());
}

Napi::Value readLink(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = pathArg(info, 0, "path");
  Located place = locate(path);
  if (place.error != 0) throw systemError(env, place.error, "readlink", path);
  std::string target;
  // readlinkat(2) truncates silently: an answer as long as the buffer is asked for again.
  int error = readGrowing(target, [&](char* buffer, size_t size) { return readlinkat(place.directory, place.rest.c_str(), buffer, size); });
  if (error != 0) throw systemError(env, error, "readlink", path);
  return copyOut(env, target.data(), target.size());
}

}  // namespace

void initXattr(Napi::Env env, Napi::Object exports) {
  add<getXattrs>(env, exports, "getXattrs");
  add<haveXattrs>(env, exports, "haveXattrs");
  add<readLink>(env, exports, "readLink");
}

}  // namespace varve
