// SHA-256 of many pieces in one call, chunk ids, and running digests that any thread may continue.
// The running digests belong to the process: a table of handles behind a mutex, each digest behind its own.
#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "sha256.h"
#include "sha256_many.h"

namespace varve {
namespace {

/** Runs of zeros at least this long are looked for. */
constexpr size_t ZERO_RUN_LEAST = 4096;

bool isZeros(const uint8_t* data, size_t size) {
  // Every byte equals the one 16 before it, and the first 16 are zero.
  static const uint8_t none[16] = {0};
  return std::memcmp(data, none, sizeof none) == 0 && std::memcmp(data, data + sizeof none, size - sizeof none) == 0;
}

/** Digest of `size` zeros. The last few sizes are remembered: where a disk holds nothing, all chunks are alike. */
const uint8_t* zerosDigest(const uint8_t* zeros, size_t size) {
  struct Known {
    size_t size = 0;
    uint8_t digest[DIGEST_BYTES];
  };
  thread_local std::array<Known, 8> known;
  thread_local size_t oldest = 0;
  for (const Known& one : known) {
    if (one.size == size) return one.digest;
  }
  Known& one = known[oldest++ % known.size()];
  Sha256::ofThread().whole(zeros, size, one.digest);
  one.size = size;
  return one.digest;
}

Napi::Value sha256Pieces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes data = bytesArg(info, 0, "data");
  Words pieces = wordsArg(info, 1, "pieces");
  size_t count = checkedPieces(env, pieces, data.size);
  Napi::Uint8Array out = Napi::Uint8Array::New(env, count * DIGEST_BYTES);
  thread_local std::vector<Digestible> wanted;
  wanted.clear();
  for (size_t at = 0; at < count; at++) {
    const uint8_t* piece = data.data + pieces.data[2 * at];
    size_t size = pieces.data[2 * at + 1];
    uint8_t* digest = out.Data() + at * DIGEST_BYTES;
    if (size >= ZERO_RUN_LEAST && isZeros(piece, size)) std::memcpy(digest, zerosDigest(piece, size), DIGEST_BYTES);
    else wanted.push_back({piece, size, digest});
  }
  sha256Many(wanted.data(), wanted.size());
  return out;
}

Napi::Value chunkIds(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes key = bytesArg(info, 0, "key");
  auto type = static_cast<uint8_t>(integerArg(info, 1, "type", 0, 255));
  Bytes digests = bytesArg(info, 2, "digests");
  if (digests.size % DIGEST_BYTES != 0) throw rangeError(env, "digests must have 32 bytes each");
  Napi::Uint8Array out = Napi::Uint8Array::New(env, digests.size);
  ChunkIdMaker ids(key.data, key.size);
  for (size_t at = 0; at < digests.size; at += DIGEST_BYTES) ids.make(type, digests.data + at, out.Data() + at);
  return out;
}

struct Running {
  std::mutex busy;
  Sha256 hash;
};

std::mutex tableMutex;
std::unordered_map<uint32_t, std::shared_ptr<Running>>& table() {
  // Never destroyed: worker threads may still hash while the process exits.
  static auto* all = new std::unordered_map<uint32_t, std::shared_ptr<Running>>();
  return *all;
}
uint32_t nextHandle = 1;

std::shared_ptr<Running> runningArg(const Napi::CallbackInfo& info, bool take) {
  uint32_t handle = u32Arg(info, 0, "handle");
  std::lock_guard<std::mutex> lock(tableMutex);
  auto found = table().find(handle);
  if (found == table().end()) throw rangeError(info.Env(), "no running digest has this handle");
  std::shared_ptr<Running> running = found->second;
  if (take) table().erase(found);
  return running;
}

Napi::Value hashCreate(const Napi::CallbackInfo& info) {
  auto running = std::make_shared<Running>();
  std::lock_guard<std::mutex> lock(tableMutex);
  while (nextHandle == 0 || table().count(nextHandle) != 0) nextHandle++;
  uint32_t handle = nextHandle++;
  table().emplace(handle, std::move(running));
  return Napi::Number::New(info.Env(), handle);
}

void hashUpdate(const Napi::CallbackInfo& info) {
  Bytes data = bytesArg(info, 1, "data");
  uint64_t offset = sizeArg(info, 2, "offset");
  uint64_t length = sizeArg(info, 3, "length");
  if (!inside(offset, length, data.size)) throw rangeError(info.Env(), "the range lies outside the data");
  auto running = runningArg(info, false);
  std::lock_guard<std::mutex> lock(running->busy);
  running->hash.update(data.data + offset, length);
}

void hashZeros(const Napi::CallbackInfo& info) {
  static const uint8_t zeros[64 * 1024] = {0};
  uint64_t length = sizeArg(info, 1, "length");
  auto running = runningArg(info, false);
  std::lock_guard<std::mutex> lock(running->busy);
  while (length > 0) {
    uint64_t now = std::min<uint64_t>(length, sizeof zeros);
    running->hash.update(zeros, now);
    length -= now;
  }
}

Napi::Value hashFinal(const Napi::CallbackInfo& info) {
  auto running = runningArg(info, true);
  Napi::Uint8Array out = Napi::Uint8Array::New(info.Env(), DIGEST_BYTES);
  std::lock_guard<std::mutex> lock(running->busy);
  running->hash.finish(out.Data());
  return out;
}

}  // namespace

void initDigest(Napi::Env env, Napi::Object exports) {
  add<sha256Pieces>(env, exports, "sha256Pieces");
  add<chunkIds>(env, exports, "chunkIds");
  add<hashCreate>(env, exports, "hashCreate");
  add<hashUpdate>(env, exports, "hashUpdate");
  add<hashZeros>(env, exports, "hashZeros");
  add<hashFinal>(env, exports, "hashFinal");
}

}  // namespace varve
