// Frames (docs/format.md, Packs): zstd, then ChaCha20-Poly1305 with the frame number as nonce; and back, refusing everything
// that does not verify before a byte is decompressed. Contexts and scratch memory belong to the thread.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include <memory>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "sha256.h"
#include "sha256_many.h"
#include "zstd-frame.h"

namespace varve {
namespace {

constexpr size_t KEY_BYTES = 32;
constexpr size_t TAG_BYTES = 16;
constexpr size_t NONCE_BYTES = 12;
constexpr size_t ROW_BYTES = 37;
constexpr int CODEC_RAW = 0;
constexpr int CODEC_ZSTD = 1;

class Aead {
 public:
  Aead() : context_(EVP_CIPHER_CTX_new()) {
    static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
    if (context_ == nullptr || cipher == nullptr || EVP_CipherInit_ex2(context_, cipher, nullptr, nullptr, 1, nullptr) != 1) {
      EVP_CIPHER_CTX_free(context_);
      throw std::runtime_error("OpenSSL offers no ChaCha20-Poly1305");
    }
  }
  ~Aead() { EVP_CIPHER_CTX_free(context_); }
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  /** Encrypts in place and writes the tag behind. */
  void seal(const uint8_t* key, const uint8_t* nonce, Bytes aad, uint8_t* data, size_t size) {
    start(key, nonce, aad, true);
    int done = 0;
    bool fine = size == 0 || EVP_CipherUpdate(context_, data, &done, data, static_cast<int>(size)) == 1;
    if (!fine || EVP_CipherFinal_ex(context_, data + size, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, data + size) != 1) {
      throw std::runtime_error("OpenSSL failed in ChaCha20-Poly1305");
    }
  }

  /** Decrypts `size` bytes that a tag follows. False when the tag does not match; `out` then holds zeros. */
  bool open(const uint8_t* key, const uint8_t* nonce, Bytes aad, const uint8_t* sealed, size_t size, uint8_t* out) {
    start(key, nonce, aad, false);
    uint8_t tag[TAG_BYTES];
    std::memcpy(tag, sealed + size, TAG_BYTES);
    int done = 0;
    uint8_t none[1];
    bool fine = EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
                (size == 0 || EVP_CipherUpdate(context_, out, &done, sealed, static_cast<int>(size)) == 1) &&
                EVP_CipherFinal_ex(context_, none, &done) == 1;
    if (!fine && size != 0) std::memset(out, 0, size);
    return fine;
  }

  static Aead& ofThread() {
    thread_local Aead mine;
    return mine;
  }

 private:
  void start(const uint8_t* key, const uint8_t* nonce, Bytes aad, bool encrypt) {
    int done = 0;
    if (EVP_CipherInit_ex2(context_, nullptr, key, nonce, encrypt ? 1 : 0, nullptr) != 1 ||
        (aad.size != 0 && EVP_CipherUpdate(context_, nullptr, &done, aad.data, static_cast<int>(aad.size)) != 1)) {
      throw std::runtime_error("OpenSSL failed in ChaCha20-Poly1305");
    }
  }
  EVP_CIPHER_CTX* context_;
};

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

/** Compresses into `out`; 0 when the result does not fit or zstd failed to make it smaller. */
size_t compress(const uint8_t* raw, size_t size, int level, uint8_t* out, size_t room) {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  thread_local int contextLevel = INT32_MIN;
  if (!context) throw std::bad_alloc();
  if (contextLevel != level) {
    ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 0)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_dictIDFlag, 0))) {
      contextLevel = INT32_MIN;
      throw std::runtime_error("zstd refused a parameter");
    }
    contextLevel = level;
  }
  size_t written = ZSTD_compress2(context.get(), out, room, raw, size);
  if (ZSTD_isError(written)) {
    if (ZSTD_getErrorCode(written) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(written));
  }
  return written;
}

void writeNonce(uint64_t frameNumber, uint8_t* nonce) {
  std::memset(nonce, 0, NONCE_BYTES);
  store<uint64_t>(nonce, frameNumber);
}

bool overlap(const uint8_t* a, size_t aSize, const uint8_t* b, size_t bSize) { return a < b + bSize && b < a + aSize; }

Napi::Value sealFrame(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes raw = bytesArg(info, 0, "raw");
  auto rawLength = static_cast<size_t>(integerArg(info, 1, "rawLength", 0, RAW_MOST));
  Bytes key = bytesArg(info, 2, "key", KEY_BYTES);
  uint64_t frameNumber = sizeArg(info, 3, "frameNumber");
  Bytes aad = bytesArg(info, 4, "aad");
  uint64_t codecAt = sizeArg(info, 5, "codecAt");
  int level = static_cast<int>(integerArg(info, 6, "level", ZSTD_minCLevel(), ZSTD_maxCLevel()));
  Bytes out = bytesArg(info, 7, "out");
  uint64_t outOffset = sizeArg(info, 8, "outOffset");
  if (rawLength > raw.size) throw rangeError(env, "rawLength exceeds raw");
  if (codecAt >= aad.size || aad.size > INT32_MAX) throw rangeError(env, "codecAt lies outside aad");
  size_t room = ZSTD_compressBound(rawLength);
  if (!inside(outOffset, room + TAG_BYTES, out.size)) throw rangeError(env, "out is too small for this frame");
  uint8_t* to = out.data + outOffset;
  if (overlap(raw.data, rawLength, to, room + TAG_BYTES)) throw rangeError(env, "raw and out overlap");

  int codec = CODEC_ZSTD;
  size_t size = compress(raw.data, rawLength, level, to, room);
  if (size >= rawLength) {
    codec = CODEC_RAW;
    size = rawLength;
    if (size != 0) std::memcpy(to, raw.data, size);
  }
  aad.data[codecAt] = static_cast<uint8_t>(codec);
  uint8_t nonce[NONCE_BYTES];
  writeNonce(frameNumber, nonce);
  Aead::ofThread().seal(key.data, nonce, aad, to, size);
  Napi::Array result = Napi::Array::New(env, 2);
  result.Set(0u, Napi::Number::New(env, static_cast<double>(size + TAG_BYTES)));
  result.Set(1u, Napi::Number::New(env, codec));
  return result;
}

Napi::Error refused(Napi::Env env, const char* reason) {
  Napi::Error error = Napi::Error::New(env, std::string("frame refused: ") + reason);
  error.Set("code", Napi::String::New(env, "EBADMSG"));
  error.Set("reason", Napi::String::New(env, reason));
  return error;
}

void openFrame(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes sealed = bytesArg(info, 0, "sealed");
  Bytes key = bytesArg(info, 1, "key", KEY_BYTES);
  uint64_t frameNumber = sizeArg(info, 2, "frameNumber");
  Bytes aad = bytesArg(info, 3, "aad");
  int64_t codec = integerArg(info, 4, "codec", 0, 255);
  Bytes out = bytesArg(info, 5, "out");
  uint64_t rawLength = sizeArg(info, 6, "rawLength");
  if (rawLength > out.size) throw rangeError(env, "out is smaller than rawLength");
  if (aad.size > INT32_MAX) throw rangeError(env, "aad is too long");
  if (overlap(sealed.data, sealed.size, out.data, rawLength)) throw rangeError(env, "sealed and out overlap");
  if (rawLength > RAW_MOST) throw refused(env, "its recorded size is larger than 8 MiB");
  if (sealed.size < TAG_BYTES) throw refused(env, "it is shorter than its tag");
  if (codec != CODEC_RAW && codec != CODEC_ZSTD) throw refused(env, "unknown codec");
  size_t size = sealed.size - TAG_BYTES;
  uint8_t nonce[NONCE_BYTES];
  writeNonce(frameNumber, nonce);
  if (codec == CODEC_RAW) {
    if (size != rawLength) throw refused(env, "its length is not the recorded size");
    if (!Aead::ofThread().open(key.data, nonce, aad, sealed.data, size, out.data)) throw refused(env, "its tag does not match");
    return;
  }
  if (size > ZSTD_compressBound(rawLength)) throw refused(env, "it is longer than its recorded size can need");
  thread_local std::vector<uint8_t> scratch;
  if (scratch.size() < size) scratch.resize(size);
  if (!Aead::ofThread().open(key.data, nonce, aad, sealed.data, size, scratch.data())) throw refused(env, "its tag does not match");
  if (const char* reason = decompressFrame(scratch.data(), size, out.data, rawLength)) throw refused(env, reason);
}

Napi::Value verifyRows(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes key = bytesArg(info, 0, "kId");
  Bytes raw = bytesArg(info, 1, "raw");
  Bytes rows = bytesArg(info, 2, "rows");
  if (rows.size % ROW_BYTES != 0) throw rangeError(env, "rows must have 37 bytes each");
  size_t count = rows.size / ROW_BYTES;
  thread_local std::vector<Digestible> pieces;
  thread_local std::vector<uint8_t> digests;
  pieces.clear();
  digests.resize(count * DIGEST_BYTES);
  // Rows behind one that does not fit lie nowhere.
  size_t fitting = 0;
  for (size_t at = 0; fitting < count; fitting++) {
    uint32_t length = load<uint32_t>(rows.data + fitting * ROW_BYTES + 33);
    if (!inside(at, length, raw.size)) break;
    pieces.push_back({raw.data + at, length, digests.data() + fitting * DIGEST_BYTES});
    at += length;
  }
  sha256Many(pieces.data(), pieces.size());
  ChunkIdMaker ids(key.data, key.size);
  for (size_t row = 0; row < count; row++) {
    const uint8_t* fields = rows.data + row * ROW_BYTES;
    uint8_t id[DIGEST_BYTES];
    if (row < fitting) ids.make(fields[32], digests.data() + row * DIGEST_BYTES, id);
    if (row >= fitting || std::memcmp(id, fields, DIGEST_BYTES) != 0) return Napi::Number::New(env, static_cast<double>(row));
  }
  return Napi::Number::New(env, -1);
}

}  // namespace

void initFrame(Napi::Env env, Napi::Object exports) {
  add<sealFrame>(env, exports, "sealFrame");
  add<openFrame>(env, exports, "openFrame");
  add<verifyRows>(env, exports, "verifyRows");
}

}  // namespace varve
