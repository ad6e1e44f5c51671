#!/usr/bin/env bash
# Shows that each attack is noticed: takes one protection out of a copy of the sources, runs the tests that its patch
# names, and demands that they fail. Patches are in protections/; the table of what they stand for is in main.rs.
#
#   tests/attack/protections.sh [PATCH...]     all, or those whose names begin so: 03 11-digests
#
# What is tested is the working tree as it is: tracked files with their changes. Environment:
#   CARGO_TARGET_DIR   where to build [default: a folder beside the copy, kept, so that the next run is quick]
#   CARGO              the program to call [default: cargo]
#   PROTECTIONS_COPY   where the copy goes [default: sandpiper-protections in the folder for temporary files]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
patches=$root/tests/attack/protections
copy=${PROTECTIONS_COPY:-${TMPDIR:-/tmp}/sandpiper-protections}/copy
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${copy%/copy}/target}
cargo=${CARGO:-cargo}
export SANDPIPER_TEST_POSTGRES=${SANDPIPER_TEST_POSTGRES:-required}
log=${copy%/copy}/log
export RUST_BACKTRACE=0
mkdir -p "$copy" "$CARGO_TARGET_DIR"

# Makes the copy equal to the working tree. Files that are the same keep their times, so that cargo rebuilds little.
fresh_copy() {
    local wanted file
    wanted=$(mktemp)
    git -C "$root" ls-files -z --cached --others --exclude-standard >"$wanted"
    while IFS= read -r -d '' file; do
        [ -f "$root/$file" ] || continue
        if ! cmp -s "$root/$file" "$copy/$file"; then
            mkdir -p "$(dirname "$copy/$file")"
            cp "$root/$file" "$copy/$file"
        fi
    done <"$wanted"
    # What is no longer in the tree must not be built.
    (cd "$copy" && find . -type f -printf '%P\0') | while IFS= read -r -d '' file; do
        if ! grep -zqxF -- "$file" "$wanted" || ! [ -f "$root/$file" ]; then rm -f "$copy/$file"; fi
    done
    rm -f "$wanted"
}

tests_of() { sed -n 's/^# fails: //p' "$1"; }

# The name of its target and a filter: "--test attack theme::name".
run_test() {
    local target=$1 filter=$2
    (cd "$copy" && "$cargo" test --package tests --locked --test "$target" -- "$filter")
}

failed=0
verdict() {
    printf '%-32s %-70s %s\n' "$1" "$2" "$3"
    case $3 in 'failed as it must'*) ;; *) failed=1 ;; esac
}

fresh_copy
for patch in "$patches"/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        chosen=no
        for wish; do [[ $name == "$wish"* ]] && chosen=yes; done
        [ $chosen = yes ] || continue
    fi
    [ -n "$(tests_of "$patch")" ] || { verdict "$name" - "NAMES NO TEST"; continue; }
    # One line of context, which may have changed; the lines that are taken out must be there.
    if ! (cd "$copy" && patch --strip 1 --fuzz 1 --force --silent --dry-run <"$patch") >"$log" 2>&1; then
        verdict "$name" - "NO LONGER APPLIES"
        sed 's/^/    /' "$log"
        continue
    fi
    (cd "$copy" && patch --strip 1 --fuzz 1 --force --silent --no-backup-if-mismatch <"$patch")
    while IFS= read -r line; do
        read -r _ target filter <<<"$line"
        if ! (cd "$copy" && "$cargo" test --package tests --locked --test "$target" --no-run) >"$log" 2>&1; then
            verdict "$name" "$target $filter" "DOES NOT BUILD"
            grep -A6 '^error' "$log" | head -20 | sed 's/^/    /' || true
            continue
        fi
        if run_test "$target" "$filter" >"$log" 2>&1; then
            if grep -q '^running 0 tests' "$log" && ! grep -q '^running [1-9]' "$log"; then
                verdict "$name" "$target $filter" "NO SUCH TEST"
            else
                verdict "$name" "$target $filter" "STILL PASSES"
            fi
        elif grep -q '^test result: FAILED' "$log" && grep -q 'panicked at' "$log"; then
            why=$(grep -A1 -m1 'panicked at' "$log" | tail -n 1 | cut -c 1-110)
            verdict "$name" "$target $filter" "failed as it must: $why"
        else
            verdict "$name" "$target $filter" "DID NOT RUN"
            tail -n 5 "$log" | sed 's/^/    /'
        fi
    done < <(tests_of "$patch")
    fresh_copy
done
exit $failed
