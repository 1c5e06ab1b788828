// memcpy between typed arrays. JavaScript's own set() copies shared memory byte by byte, with relaxed atomics, at a fraction of its speed.
#include "addon.h"
#include "arguments.h"

namespace varve {
namespace {

void copyBytes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t fromOffset = sizeArg(info, 1, "fromOffset");
  uint64_t intoOffset = sizeArg(info, 3, "intoOffset");
  uint64_t length = sizeArg(info, 4, "length");
  Bytes from = bytesArg(info, 0, "from");
  Bytes into = bytesArg(info, 2, "into");
  if (fromOffset > from.size || length > from.size - fromOffset) throw rangeError(env, "copy beyond the end of from");
  if (intoOffset > into.size || length > into.size - intoOffset) throw rangeError(env, "copy beyond the end of into");
  if (length != 0) std::memmove(into.data + intoOffset, from.data + fromOffset, length);
}

}  // namespace

void initCopy(Napi::Env env, Napi::Object exports) { add<copyBytes>(env, exports, "copyBytes"); }

}  // namespace varve
