#include "sim/check/edn.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace raftkv::sim {
namespace {

bool IsSpace(char c) { return c == ',' || absl::ascii_isspace(static_cast<unsigned char>(c)); }

bool EndsToken(char c) {
  return IsSpace(c) || absl::string_view("()[]{}\";").find(c) != absl::string_view::npos;
}

void AppendUtf8(uint32_t code, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// One pass, with an explicit stack of the collections that are open.
class Reader {
 public:
  Reader(absl::string_view name, absl::string_view text, int first_line, const EdnLimits& limits)
      : name_(name), text_(text), line_(first_line), limits_(limits) {}

  absl::StatusOr<std::vector<Edn>> Read() {
    open_.push_back({Edn{}, '\0', 0});
    while (true) {
      SkipSpace();
      if (at_ == text_.size()) break;
      if (absl::Status status = ReadNext(); !status.ok()) return status;
    }
    if (open_.size() > 1) {
      return Error(open_.back().collection.line,
                   absl::StrCat("the collection that begins here is not closed by '",
                                std::string(1, open_.back().close), "'"));
    }
    if (open_.back().incomplete) return Error(line_, "the text ends where a value must follow");
    return std::move(open_.back().collection.items);
  }

 private:
  struct Open {
    Edn collection;
    char close;
    int drop;                 // of the forms that follow, this many are not wanted
    bool incomplete = false;  // a tag or the like stands before a value that is still missing
  };

  absl::Status Error(int line, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ":", line, ": ", what));
  }

  void SkipSpace() {
    while (at_ < text_.size()) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] == ';') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (IsSpace(text_[at_])) {
        ++at_;
      } else {
        return;
      }
    }
  }

  absl::Status ReadNext() {
    const char c = text_[at_];
    switch (c) {
      case '[':
        return Begin(Edn::Kind::kVector, ']', 1);
      case '(':
        return Begin(Edn::Kind::kList, ')', 1);
      case '{':
        return Begin(Edn::Kind::kMap, '}', 1);
      case ']':
      case ')':
      case '}':
        return End(c);
      case '"':
        return ReadString();
      case '#':
        return ReadDispatch();
      case '^':  // metadata: of the two forms that follow the first is not wanted
        return Drop(1);
      case '\'':
      case '`':
      case '@':
      case '~':
        return Error(line_, absl::StrCat("unexpected '", std::string(1, c), "'"));
      default:
        return ReadAtom();
    }
  }

  absl::Status Drop(size_t length) {
    at_ += length;
    ++open_.back().drop;
    open_.back().incomplete = true;
    return absl::OkStatus();
  }

  absl::Status Begin(Edn::Kind kind, char close, size_t length) {
    if (static_cast<int>(open_.size()) > limits_.depth) {
      return Error(line_, absl::StrCat("collections are nested deeper than ", limits_.depth));
    }
    Edn collection;
    collection.kind = kind;
    collection.line = line_;
    open_.push_back({std::move(collection), close, 0});
    at_ += length;
    return absl::OkStatus();
  }

  absl::Status End(char close) {
    if (open_.size() == 1) {
      return Error(line_, absl::StrCat("'", std::string(1, close), "' closes nothing"));
    }
    if (open_.back().close != close) {
      return Error(
          line_,
          absl::StrCat("'", std::string(1, close), "' where '", std::string(1, open_.back().close),
                       "' must close what begins in line ", open_.back().collection.line));
    }
    if (open_.back().incomplete) return Error(line_, "a value must follow before this is closed");
    Edn collection = std::move(open_.back().collection);
    open_.pop_back();
    ++at_;
    if (collection.kind == Edn::Kind::kMap && collection.items.size() % 2 != 0) {
      return Error(collection.line, "a map needs a value for each key");
    }
    return Add(std::move(collection));
  }

  absl::Status Add(Edn value) {
    if (++values_ > limits_.values) {
      return Error(line_, absl::StrCat("more than ", limits_.values, " values"));
    }
    if (open_.back().drop > 0) {
      if (--open_.back().drop == 0) open_.back().incomplete = false;
    } else {
      open_.back().incomplete = false;
      open_.back().collection.items.push_back(std::move(value));
    }
    return absl::OkStatus();
  }

  absl::Status ReadDispatch() {
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    switch (next) {
      case '{':
        return Begin(Edn::Kind::kSet, '}', 2);
      case '_':
      case '^':
        return Drop(2);
      case '"':  // a regular expression; its text will do
        ++at_;
        return ReadString();
      case '#':  // a symbolic number such as ##Inf
        at_ += 2;
        if (at_ == text_.size()) return Error(line_, "'##' without a name");
        return ReadAtom();
      default:
        break;
    }
    // A tag, or the namespace of a map: what follows is the value.
    if (next == '\0' || EndsToken(next)) return Error(line_, "'#' without a tag");
    ++at_;
    Token();
    open_.back().incomplete = true;
    return absl::OkStatus();
  }

  absl::string_view Token() {
    const size_t begin = at_;
    while (at_ < text_.size() && !EndsToken(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  absl::Status ReadAtom() {
    Edn atom;
    atom.line = line_;
    if (text_[at_] == '\\') {
      // The character itself may be one that ends tokens.
      const size_t begin = at_++;
      if (at_ == text_.size()) return Error(line_, "'\\' without a character");
      if (text_[at_] == '\n') return Error(line_, "'\\' without a character");
      ++at_;
      Token();
      atom.kind = Edn::Kind::kAtom;
      atom.text = std::string(text_.substr(begin, at_ - begin));
      return Add(std::move(atom));
    }
    absl::string_view token = Token();
    if (token.empty()) return Error(line_, "a value must follow");
    if (token == "nil") {
      atom.kind = Edn::Kind::kNil;
    } else if (token[0] == ':') {
      atom.kind = Edn::Kind::kKeyword;
      token.remove_prefix(1);
      if (token.empty()) return Error(line_, "':' without a name");
      atom.text = std::string(token);
    } else if (IsInteger(token, &atom.integer)) {
      atom.kind = Edn::Kind::kInteger;
    } else {
      atom.kind = Edn::Kind::kAtom;
      atom.text = std::string(token);
    }
    return Add(std::move(atom));
  }

  static bool IsInteger(absl::string_view token, int64_t* integer) {
    // Clojure prints big integers as 5N.
    if (token.size() > 1 && token.back() == 'N') token.remove_suffix(1);
    const char first = token[0];
    const bool sign = first == '-' || first == '+';
    if (token.size() < (sign ? 2u : 1u)) return false;
    for (const char c : token.substr(sign ? 1 : 0)) {
      if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
    }
    return absl::SimpleAtoi(token, integer);
  }

  absl::Status ReadString() {
    Edn value;
    value.kind = Edn::Kind::kString;
    value.line = line_;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      char c = text_[at_];
      if (c == '\n') ++line_;
      if (c != '\\') {
        value.text.push_back(c);
        continue;
      }
      if (++at_ == text_.size()) break;
      c = text_[at_];
      switch (c) {
        case 'n':
          value.text.push_back('\n');
          break;
        case 't':
          value.text.push_back('\t');
          break;
        case 'r':
          value.text.push_back('\r');
          break;
        case 'b':
          value.text.push_back('\b');
          break;
        case 'f':
          value.text.push_back('\f');
          break;
        case '"':
        case '\\':
          value.text.push_back(c);
          break;
        case 'u': {
          uint32_t code;
          if (!ReadHex(text_.substr(at_ + 1, 4), &code)) {
            return Error(line_, "'\\u' needs four hexadecimal digits");
          }
          AppendUtf8(code, &value.text);
          at_ += 4;
          break;
        }
        default:
          return Error(line_, "unknown escape in a string");
      }
    }
    if (at_ >= text_.size()) return Error(value.line, "the string that begins here is not closed");
    ++at_;
    return Add(std::move(value));
  }

  static bool ReadHex(absl::string_view digits, uint32_t* code) {
    if (digits.size() != 4) return false;
    for (const char c : digits) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
    }
    return absl::SimpleHexAtoi(digits, code);
  }

  const absl::string_view name_;
  const absl::string_view text_;
  size_t at_ = 0;
  int line_;
  const EdnLimits limits_;
  size_t values_ = 0;
  std::vector<Open> open_;
};

}  // namespace

const Edn* Edn::Find(absl::string_view key) const {
  if (kind != Kind::kMap) return nullptr;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].kind == Kind::kKeyword && items[i].text == key) return &items[i + 1];
  }
  return nullptr;
}

std::string Edn::ToString() const {
  const auto joined = [&] {
    return absl::StrJoin(items, " ", [](std::string* out, const Edn& item) {
      absl::StrAppend(out, item.ToString());
    });
  };
  switch (kind) {
    case Kind::kNil:
      return "nil";
    case Kind::kInteger:
      return absl::StrCat(integer);
    case Kind::kString:
      return absl::StrCat("\"", absl::CEscape(text), "\"");
    case Kind::kKeyword:
      return absl::StrCat(":", text);
    case Kind::kAtom:
      return text;
    case Kind::kVector:
      return absl::StrCat("[", joined(), "]");
    case Kind::kList:
      return absl::StrCat("(", joined(), ")");
    case Kind::kSet:
      return absl::StrCat("#{", joined(), "}");
    case Kind::kMap:
      return absl::StrCat("{", joined(), "}");
  }
  return "";
}

absl::StatusOr<std::vector<Edn>> ReadEdn(absl::string_view name, absl::string_view text,
                                         int first_line, const EdnLimits& limits) {
  return Reader(name, text, first_line, limits).Read();
}

}  // namespace raftkv::sim
