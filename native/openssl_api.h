// The OpenSSL functions that the node binary exports and this addon calls. Declared here because Node's installed headers
// do not always include OpenSSL's; the types stay opaque, and nothing links against a libcrypto of the system.
#pragma once
#include <cstddef>

extern "C" {
typedef struct evp_md_st EVP_MD;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
typedef struct ossl_param_st OSSL_PARAM;
typedef struct engine_st ENGINE;

EVP_MD* EVP_MD_fetch(OSSL_LIB_CTX* context, const char* algorithm, const char* properties);
EVP_MD_CTX* EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX* context);
int EVP_MD_CTX_copy_ex(EVP_MD_CTX* out, const EVP_MD_CTX* in);
int EVP_DigestInit_ex2(EVP_MD_CTX* context, const EVP_MD* type, const OSSL_PARAM params[]);
int EVP_DigestUpdate(EVP_MD_CTX* context, const void* data, size_t size);
int EVP_DigestFinal_ex(EVP_MD_CTX* context, unsigned char* digest, unsigned int* size);

EVP_CIPHER* EVP_CIPHER_fetch(OSSL_LIB_CTX* context, const char* algorithm, const char* properties);
EVP_CIPHER_CTX* EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX* context);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX* context, int type, int argument, void* pointer);
int EVP_CipherInit_ex2(EVP_CIPHER_CTX* context, const EVP_CIPHER* cipher, const unsigned char* key, const unsigned char* iv, int encrypt,
                       const OSSL_PARAM params[]);
int EVP_CipherUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* outSize, const unsigned char* in, int inSize);
int EVP_CipherFinal_ex(EVP_CIPHER_CTX* context, unsigned char* out, int* outSize);

void OPENSSL_cleanse(void* data, size_t size);
}

constexpr int EVP_CTRL_AEAD_GET_TAG = 0x10;
constexpr int EVP_CTRL_AEAD_SET_TAG = 0x11;
