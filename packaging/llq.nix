# SPDX-License-Identifier: Apache-2.0
# Untested. From a release's or a clone's folder:
#   nix-build -E 'with import <nixpkgs> {}; callPackage ./packaging/llq.nix {}'
{ lib
, stdenv
, autoreconfHook
, pkg-config
, bubblewrap
, check
, jansson
, libseccomp
, luajit
, nettle
, openblas
, pcre2
, python3
, zlib
}:

stdenv.mkDerivation {
  pname = "libllq";
  # The version stands in configure.ac only.
  version = lib.head (builtins.match
    ".*AC_INIT\\(\\[libllq], \\[([0-9.]+)].*"
    (builtins.readFile ../configure.ac));
  src = ../.;

  outputs = [ "out" "dev" ];
  nativeBuildInputs = [ autoreconfHook pkg-config ];
  buildInputs = [ jansson libseccomp nettle openblas pcre2 zlib ];

  configureFlags = [
    "--enable-cuda=no"
    "BWRAP=${bubblewrap}/bin/bwrap"
    "PYTHON3=${python3}/bin/python3"
  ];
  enableParallelBuilding = true;

  # The tests make namespaces, which a builder may not allow.
  doCheck = false;
  nativeCheckInputs = [ check luajit ];

  meta = {
    description = "Quantized Llama code generation";
    license = lib.licenses.asl20;
    mainProgram = "llq";
    platforms = lib.platforms.linux;
  };
}
