#!/usr/bin/env python3
"""Files that put a bug into the code: tests/mutants/README.md has the grammar. Imported by scripts/mutants; for shell scripts:

  scripts/mutant_files.py list FOLDER          names, and what each breaks
  scripts/mutant_files.py check FOLDER         can each be read, and does it apply to the code?
  scripts/mutant_files.py title FILE.mutant
  scripts/mutant_files.py apply TREE FILE.mutant
                                               to a copy of the code

Exit code 2: one cannot be read, or does not fit the code.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What is judged. A bug in what judges would prove nothing.
ROOMS = ("core/", "storage/", "net/", "cmd/")
KEYS = ("id", "tier", "title", "story", "e2e", "equivalent", "survives", "not-applicable")


class Refused(Exception):
    """A file that is no mutant, or one that does not fit the code."""


class Edit:
    def __init__(self, file, line, find):
        self.file, self.line, self.find, self.replace = file, line, find, None


class Mutant:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)[: -len(".mutant")]
        self.keys = {}
        self.edits = []

    def __getattr__(self, name):
        return self.keys.get(name.replace("_", "-"), "")


def parse(path):
    """tests/mutants/README.md says what is in such a file."""
    mutant = Mutant(path)

    def refuse(number, text):
        raise Refused(f"{os.path.relpath(path, ROOT)}:{number}: {text}")

    if not path.endswith(".mutant"):
        refuse(1, "the name of the file does not end with .mutant")
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{os.path.relpath(path, ROOT)}: {error}") from None
    if lines[-1] == "":
        lines.pop()
    key = file = part = edit = None
    text = []
    for number, line in enumerate(lines, 1):
        if part is not None:  # inside an edit everything but its marks is text
            if line == "===" and part == "find":
                if not "".join(text).strip():
                    refuse(number, "the text to be replaced is empty")
                edit = Edit(file, number - len(text), "\n".join(text))
                part, text = "replace", []
            elif line == ">>>" and part == "replace":
                edit.replace = "\n".join(text)
                if edit.replace == edit.find:
                    refuse(number, "the replacement is the text itself")
                mutant.edits.append(edit)
                part, text = None, []
            elif line in ("<<<", "===", ">>>"):
                refuse(number, f"'{line}' while the {'text' if part == 'find' else 'replacement'} is not ended by "
                               f"'{'===' if part == 'find' else '>>>'}'")
            else:
                text.append(line)
            continue
        if line.startswith("#") or not line.strip():
            key = None
        elif line == "<<<":
            if file is None:
                refuse(number, "'<<<' without a 'file:' in front of it")
            part = "find"
        elif line in ("===", ">>>"):
            refuse(number, f"'{line}' without a '<<<'")
        elif line.startswith("  ") and key is not None:
            mutant.keys[key] = f"{mutant.keys[key]} {line.strip()}".strip()
        elif (match := re.match(r"([a-z0-9-]+): *(.*)$", line)) is None:
            refuse(number, f"neither 'key: value' nor an edit: {line}")
        elif match[1] == "file":
            key, file = None, match[2].strip()
            if os.path.normpath(file) != file or not file.startswith(ROOMS):
                refuse(number, f"file: {file} is not in {', '.join(ROOMS)}, written as seen from the root")
        else:
            key = match[1]
            if key not in KEYS:
                refuse(number, f"there is no key '{key}'; known are file, {', '.join(KEYS)}")
            if key in mutant.keys:
                refuse(number, f"'{key}' is there twice")
            if file is not None:
                refuse(number, f"'{key}' behind a 'file:'; keys come first")
            mutant.keys[key] = match[2].strip()
    end = len(lines)
    if part is not None:
        refuse(end, f"the file ends inside an edit, '{'===' if part == 'find' else '>>>'}' is missing")
    for key in ("id", "tier", "title", "story"):
        if not mutant.keys.get(key):
            refuse(end, f"'{key}:' is missing")
    if not re.fullmatch(r"[A-Z][0-9]{2}", mutant.id):
        refuse(end, f"id: '{mutant.id}' is no letter and two digits")
    if mutant.tier not in ("1", "2", "3", "4"):
        refuse(end, f"tier: '{mutant.tier}' is not 1, 2, 3 or 4")
    if not mutant.name.startswith(mutant.id.lower() + "-"):
        refuse(end, f"the name of a mutant of {mutant.id} begins with {mutant.id.lower()}-")
    if mutant.keys.get("not-applicable"):
        if mutant.edits:
            refuse(end, "'not-applicable:' and an edit")
    elif not mutant.edits:
        refuse(end, "no edit, and no 'not-applicable:' that says why")
    said = [key for key in ("equivalent", "survives", "not-applicable") if mutant.keys.get(key)]
    if len(said) > 1:
        refuse(end, f"'{said[0]}:' and '{said[1]}:'")
    if mutant.e2e and len(mutant.e2e.split()) != 2:
        refuse(end, "e2e: a program of tests/e2e and a filter of its tests")
    return mutant


def mutated(mutant, root):
    """The files that it changes: {file: text}. Every text must be there exactly once, in the code as it is."""
    files = {}
    for edit in mutant.edits:
        where = f"{os.path.relpath(mutant.path, ROOT)}:{edit.line}"
        if edit.file not in files:
            try:
                with open(os.path.join(root, edit.file), encoding="utf-8") as f:
                    files[edit.file] = (f.read(), [])
            except OSError as error:
                raise Refused(f"{where}: stale, {edit.file}: {error.strerror}") from None
        text, places = files[edit.file]
        at = text.find(edit.find)
        if at < 0:
            raise Refused(f"{where}: stale, {edit.file} does not hold this text any more")
        if (again := text.find(edit.find, at + 1)) >= 0:
            lines = [text.count("\n", 0, place) + 1 for place in (at, again)]
            raise Refused(f"{where}: stale, {edit.file} holds this text more than once (lines {lines[0]} and {lines[1]})")
        end = at + len(edit.find)
        for begin, stop, _ in places:
            if at < stop and begin < end:
                raise Refused(f"{where}: two edits of the same text of {edit.file}")
        places.append((at, end, edit.replace))
    changed = {}
    for file, (text, places) in files.items():
        for at, end, replace in sorted(places, reverse=True):
            text = text[:at] + replace + text[end:]
        changed[file] = text
    return changed


def read_all(paths):
    mutants, problems = [], []
    for path in paths:
        try:
            mutant = parse(path)
            mutated(mutant, ROOT)
            mutants.append(mutant)
        except Refused as refused:
            problems.append(str(refused))
    if problems:
        raise Refused("\n".join(problems))
    return mutants


def apply(mutant, tree):
    for file, text in mutated(mutant, tree).items():
        with open(os.path.join(tree, file), "w", encoding="utf-8") as f:
            f.write(text)


def below(folder):
    """All of a folder and of those in it, by name."""
    if not os.path.isdir(os.path.join(ROOT, folder)):
        raise Refused(f"there is no folder {folder}")
    found = []
    for base, _, names in os.walk(os.path.join(ROOT, folder)):
        found += [os.path.join(base, name) for name in names if name.endswith(".mutant")]
    if not found:
        raise Refused(f"no file *.mutant below {folder}")
    return sorted(found, key=lambda path: (os.path.basename(path), path))


def main(arguments):
    if len(arguments) == 2 and arguments[0] in ("list", "check"):
        mutants = read_all(below(arguments[1]))
        for mutant in mutants if arguments[0] == "list" else []:
            print(f"{mutant.name:<46} {mutant.title}")
    elif len(arguments) == 2 and arguments[0] == "title":
        print(parse(arguments[1]).title)
    elif len(arguments) == 3 and arguments[0] == "apply":
        apply(parse(arguments[2]), arguments[1])
    else:
        raise Refused(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refused:
        for line in str(refused).split("\n"):
            print(f"mutants: {line}", file=sys.stderr)
        sys.exit(2)
