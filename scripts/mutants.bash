# Sourced by scripts/mutate, scripts/mutate_core and scripts/powercut: a copy of the code, and patches that put a bug into it. Callers
# define die and stand in the root.

# list_mutants FOLDER: names, and the first line of each.
list_mutants() {
  local patch
  for patch in "$1"/*.patch; do
    printf '%-38s %s\n' "$(basename "$patch" .patch)" "$(head -n 1 "$patch")"
  done
}

# check_mutants FOLDER: does every patch still apply?
check_mutants() {
  local patch stale=0
  for patch in "$1"/*.patch; do
    git apply --check -C1 "$patch" || stale=$((stale + 1))
  done
  [ "$stale" -eq 0 ] || die "$stale of the patches in $1 do not apply to the code as it is now"
}

# refresh_tree TREE: brings the copy back to the working tree. Files that are equal keep their time, so that only what a patch touched is
# built again.
refresh_tree() {
  local file
  while IFS= read -r -d '' file; do
    if [ -f "$file" ] && ! cmp -s "$file" "$1/$file"; then
      mkdir -p "$1/$(dirname "$file")"
      cp "$file" "$1/$file"
    fi
  done < <(git ls-files -z --cached --others --exclude-standard)
}

# apply_mutant TREE PATCH. Outside of any repository, as far as git can see: paths are those of the copy.
apply_mutant() {
  (cd "$1" && GIT_CEILING_DIRECTORIES=$(dirname "$1") git apply -C1 "$2") ||
    die "$(basename "$2" .patch) does not apply to the code as it is now"
}
