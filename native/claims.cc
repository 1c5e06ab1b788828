// Chunk ids claimed during one run, so that two threads never store the same chunk: 64 shards of open addressing, each behind
// its mutex. Ids are keyed hashes, uniform to everyone without the key, and serve as their own hash values.
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "addon.h"
#include "arguments.h"

namespace varve {
namespace {

constexpr size_t ID_BYTES = 32;
constexpr uint32_t ABSENT = 0xffffffff;
constexpr size_t SHARDS = 64;

struct Slot {
  uint8_t id[ID_BYTES];
  uint32_t value = ABSENT;
};

class Shard {
 public:
  /** The value `id` has, or ABSENT; with `insert`, an absent id takes `value`. */
  uint32_t look(const uint8_t* id, bool insert, uint32_t value) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (slots_.empty()) {
      if (!insert) return ABSENT;
      slots_.resize(64);
    }
    Slot* slot = find(slots_, id);
    if (slot->value != ABSENT) return slot->value;
    if (!insert) return ABSENT;
    if ((count_ + 1) * 4 > slots_.size() * 3) {
      grow();
      slot = find(slots_, id);
    }
    std::memcpy(slot->id, id, ID_BYTES);
    slot->value = value;
    count_++;
    return ABSENT;
  }
  size_t count() {
    std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }

 private:
  static Slot* find(std::vector<Slot>& slots, const uint8_t* id) {
    size_t mask = slots.size() - 1;
    for (size_t at = load<uint64_t>(id + 8) & mask;; at = (at + 1) & mask) {
      Slot& slot = slots[at];
      if (slot.value == ABSENT || std::memcmp(slot.id, id, ID_BYTES) == 0) return &slot;
    }
  }
  void grow() {
    std::vector<Slot> larger(slots_.size() * 2);
    for (const Slot& slot : slots_) {
      if (slot.value != ABSENT) *find(larger, slot.id) = slot;
    }
    slots_.swap(larger);
  }
  std::mutex mutex_;
  std::vector<Slot> slots_;
  size_t count_ = 0;
};

using Claims = std::array<Shard, SHARDS>;

std::mutex tableMutex;
std::unordered_map<uint32_t, std::shared_ptr<Claims>>& table() {
  static auto* all = new std::unordered_map<uint32_t, std::shared_ptr<Claims>>();
  return *all;
}
uint32_t nextHandle = 1;

std::shared_ptr<Claims> claimsArg(const Napi::CallbackInfo& info) {
  uint32_t handle = u32Arg(info, 0, "handle");
  std::lock_guard<std::mutex> lock(tableMutex);
  auto found = table().find(handle);
  if (found == table().end()) throw rangeError(info.Env(), "no claims have this handle");
  return found->second;
}

Napi::Value claimsCreate(const Napi::CallbackInfo& info) {
  auto claims = std::make_shared<Claims>();
  std::lock_guard<std::mutex> lock(tableMutex);
  while (nextHandle == 0 || table().count(nextHandle) != 0) nextHandle++;
  uint32_t handle = nextHandle++;
  table().emplace(handle, std::move(claims));
  return Napi::Number::New(info.Env(), handle);
}

Napi::Value lookAll(const Napi::CallbackInfo& info, bool insert, uint32_t value) {
  Napi::Env env = info.Env();
  Bytes ids = bytesArg(info, 1, "ids");
  if (ids.size % ID_BYTES != 0) throw rangeError(env, "ids must have 32 bytes each");
  auto claims = claimsArg(info);
  size_t count = ids.size / ID_BYTES;
  Napi::Uint32Array out = Napi::Uint32Array::New(env, count);
  for (size_t at = 0; at < count; at++) {
    const uint8_t* id = ids.data + at * ID_BYTES;
    out[at] = (*claims)[id[0] % SHARDS].look(id, insert, value);
  }
  return out;
}

Napi::Value claim(const Napi::CallbackInfo& info) {
  auto value = static_cast<uint32_t>(integerArg(info, 2, "value", 0, ABSENT - 1));
  return lookAll(info, true, value);
}

Napi::Value claimed(const Napi::CallbackInfo& info) { return lookAll(info, false, 0); }

Napi::Value claimsCount(const Napi::CallbackInfo& info) {
  auto claims = claimsArg(info);
  size_t count = 0;
  for (Shard& shard : *claims) count += shard.count();
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

void claimsFree(const Napi::CallbackInfo& info) {
  auto claims = claimsArg(info);
  std::lock_guard<std::mutex> lock(tableMutex);
  table().erase(u32Arg(info, 0, "handle"));
}

}  // namespace

void initClaims(Napi::Env env, Napi::Object exports) {
  add<claimsCreate>(env, exports, "claimsCreate");
  add<claim>(env, exports, "claim");
  add<claimed>(env, exports, "claimed");
  add<claimsCount>(env, exports, "claimsCount");
  add<claimsFree>(env, exports, "claimsFree");
}

}  // namespace varve
