{
  "targets": [
    {
      "target_name": "varve",
      "dependencies": ["varve_zstd"],
      "sources": [
        "native/addon.cc",
        "native/scan.cc",
        "native/scan_ahead.cc",
        "native/read.cc",
        "native/digest.cc",
        "native/sha256_many.cc",
        "native/cut.cc",
        "native/frame.cc",
        "native/zstd-frame.cc",
        "native/claims.cc",
        "native/segment.cc",
        "native/segment-format.cc",
        "native/segment-reader.cc",
        "native/segment-writer.cc",
        "native/pack-directory.cc",
        "native/segment-merge.cc",
        "native/mount_fd.cc",
        "native/target.cc",
        "native/target-metadata.cc",
        "native/xattr.cc",
        "native/copy.cc",
        "native/leaf-reader.cc",
        "native/leaf.cc",
        "native/dirents.cc"
      ],
      "include_dirs": [
        "node_modules/node-addon-api",
        "node_modules/zstd-napi/deps/zstd/lib"
      ],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "ZSTDLIB_VISIBLE=", "ZSTDERRORLIB_VISIBLE="],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      "cflags": ["-O3"],
      "cflags_cc": ["-std=c++20", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"],
      "xcode_settings": { "GCC_ENABLE_CPP_EXCEPTIONS": "YES", "GCC_SYMBOLS_PRIVATE_EXTERN": "YES", "CLANG_CXX_LANGUAGE_STANDARD": "c++20" }
    },
    {
      # zstd 1.5.7 from the sources that zstd-napi ships; every symbol hidden, because zstd-napi carries a copy of its own.
      "target_name": "varve_zstd",
      "type": "static_library",
      "variables": { "zstd": "node_modules/zstd-napi/deps/zstd/lib" },
      "sources": [
        "<(zstd)/common/debug.c",
        "<(zstd)/common/entropy_common.c",
        "<(zstd)/common/error_private.c",
        "<(zstd)/common/fse_decompress.c",
        "<(zstd)/common/pool.c",
        "<(zstd)/common/threading.c",
        "<(zstd)/common/xxhash.c",
        "<(zstd)/common/zstd_common.c",
        "<(zstd)/compress/fse_compress.c",
        "<(zstd)/compress/hist.c",
        "<(zstd)/compress/huf_compress.c",
        "<(zstd)/compress/zstd_compress.c",
        "<(zstd)/compress/zstd_compress_literals.c",
        "<(zstd)/compress/zstd_compress_sequences.c",
        "<(zstd)/compress/zstd_compress_superblock.c",
        "<(zstd)/compress/zstd_double_fast.c",
        "<(zstd)/compress/zstd_fast.c",
        "<(zstd)/compress/zstd_lazy.c",
        "<(zstd)/compress/zstd_ldm.c",
        "<(zstd)/compress/zstd_opt.c",
        "<(zstd)/compress/zstd_preSplit.c",
        "<(zstd)/compress/zstdmt_compress.c",
        "<(zstd)/decompress/huf_decompress.c",
        "<(zstd)/decompress/huf_decompress_amd64.S",
        "<(zstd)/decompress/zstd_ddict.c",
        "<(zstd)/decompress/zstd_decompress.c",
        "<(zstd)/decompress/zstd_decompress_block.c"
      ],
      "defines": ["XXH_NAMESPACE=ZSTD_", "ZSTDLIB_VISIBLE=", "ZSTDERRORLIB_VISIBLE=", "ZSTD_NO_TRACE"],
      "cflags": ["-O3", "-fvisibility=hidden", "-w"],
      "xcode_settings": { "GCC_SYMBOLS_PRIVATE_EXTERN": "YES", "GCC_OPTIMIZATION_LEVEL": "3" }
    }
  ]
}
