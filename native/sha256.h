// SHA-256 and HMAC-SHA-256 over the node binary's OpenSSL. Contexts are fetched once and reused per thread, because on
// inputs of a few hundred bytes setting one up costs more than hashing.
#pragma once
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "openssl_api.h"

namespace varve {

constexpr size_t DIGEST_BYTES = 32;

/** One SHA-256 computation that may be restarted. Not for two threads at a time. */
class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    if (context_ == nullptr || algorithm == nullptr || EVP_DigestInit_ex2(context_, algorithm, nullptr) != 1) {
      EVP_MD_CTX_free(context_);
      throw std::runtime_error("OpenSSL offers no SHA-256");
    }
  }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void restart() { require(EVP_DigestInit_ex2(context_, nullptr, nullptr)); }
  void update(const void* data, size_t size) { require(EVP_DigestUpdate(context_, data, size)); }
  void finish(uint8_t* digest) { require(EVP_DigestFinal_ex(context_, digest, nullptr)); }

  /** Digest of one run of bytes, 32 bytes into `digest`. */
  void whole(const void* data, size_t size, uint8_t* digest) {
    restart();
    update(data, size);
    finish(digest);
  }

  static Sha256& ofThread() {
    thread_local Sha256 mine;
    return mine;
  }

 private:
  static void require(int done) {
    if (done != 1) throw std::runtime_error("OpenSSL failed in SHA-256");
  }
  EVP_MD_CTX* context_;
};

/** HMAC-SHA-256(key, type ‖ digest): the chunk id. RFC 2104 with the padded keys made once per key. */
class ChunkIdMaker {
 public:
  ChunkIdMaker(const uint8_t* key, size_t size) {
    uint8_t block[64] = {0};
    if (size > sizeof block) Sha256::ofThread().whole(key, size, block);
    else if (size != 0) std::memcpy(block, key, size);
    for (size_t at = 0; at < sizeof block; at++) {
      inner_[at] = block[at] ^ 0x36;
      outer_[at] = block[at] ^ 0x5c;
    }
    OPENSSL_cleanse(block, sizeof block);
  }
  ~ChunkIdMaker() {
    OPENSSL_cleanse(inner_, sizeof inner_);
    OPENSSL_cleanse(outer_, sizeof outer_);
  }
  ChunkIdMaker(const ChunkIdMaker&) = delete;
  ChunkIdMaker& operator=(const ChunkIdMaker&) = delete;

  void make(uint8_t type, const uint8_t* digest, uint8_t* id) {
    inner_[64] = type;
    std::memcpy(inner_ + 65, digest, DIGEST_BYTES);
    hash_.whole(inner_, sizeof inner_, outer_ + 64);
    hash_.whole(outer_, sizeof outer_, id);
  }

 private:
  Sha256& hash_ = Sha256::ofThread();
  uint8_t inner_[64 + 1 + DIGEST_BYTES];
  uint8_t outer_[64 + DIGEST_BYTES];
};

}  // namespace varve
