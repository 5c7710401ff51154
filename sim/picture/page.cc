#include "sim/picture/page.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "sim/picture/json.h"
#include "sim/picture/page_parts.h"
#include "sim/picture/story.h"

namespace raftkv::sim {
namespace {

// The data is one object. Numbers stand for texts (places in `strings`) and for things (places in
// `entries`, `messages`, `faults` and `operations`); times are microseconds.
//
//   version      1
//   seed, profile, about, replay, explanation
//   violation    null, or {id, name, sentence, time, text}
//   total        events of the whole run; the last of them are in `events`
//   broken       place of the violation in `events`, or -1
//   story        places in `events`
//   nodes        ids of all nodes
//   start        {id: view} before the first event; a view is a change with all its fields
//   eventKinds, messageKinds, runs, roles       names, in the order of their numbers
//   strings
//   entries      [index, term, text]
//   messages     [from, to, sent, kind, term, refusal 0/1, first, last, text]
//   faults       [name, text, begin, end or -1, [nodes], [from, to, from, to, ...]]
//   operations   [client, text, begin, end or -1, acknowledged 0/1, outcome]
//   events       [time since the event before, kind, node, subject, text, change]; what comes last
//                and is 0 or nothing is left out. A `text` is a place in `strings` plus 1
//
// and a change is an object of: u run, r role, t term, v vote, l leader, c commit, a applied,
// d durable, s snapshot, p promised, m [node, match, ...], f configuration (in `strings`),
// b, k, e: the log's base, what it keeps, and the entries behind.
class Encoder {
 public:
  Encoder(const Recording& recording, const Caption& caption)
      : recording_(recording), caption_(caption) {}

  std::string Encode() {
    json_.BeginObject();
    WriteCaption();
    WriteEvents();
    WriteTables();
    json_.EndObject();
    return json_.Take();
  }

 private:
  void Put(absl::string_view key, absl::string_view value) {
    json_.Key(key);
    json_.String(value);
  }
  void Put(absl::string_view key, uint64_t value) {
    json_.Key(key);
    json_.Unsigned(value);
  }
  void Optional(absl::string_view key, const std::optional<uint64_t>& value) {
    if (value.has_value()) Put(key, *value);
  }

  // The place of something in the table of its kind.
  static uint64_t PlaceOf(uint64_t number, std::map<uint64_t, uint64_t>* places,
                          std::vector<uint64_t>* table) {
    const auto [it, first] = places->try_emplace(number, table->size());
    if (first) table->push_back(number);
    return it->second;
  }
  uint64_t PlaceOf(const std::string& text) {
    const auto [it, first] = string_places_.try_emplace(text, strings_.size());
    if (first) strings_.push_back(text);
    return it->second;
  }

  void WriteCaption() {
    Put("version", 1);
    Put("seed", absl::StrCat(caption_.seed));  // may be above what a number in JavaScript holds
    Put("profile", caption_.profile);
    Put("about", caption_.about);
    Put("replay", caption_.replay);
    Put("explanation", caption_.explanation);
    json_.Key("violation");
    if (caption_.violation.has_value()) {
      const OracleInfo& info = InfoOf(caption_.violation->oracle);
      json_.BeginObject();
      Put("id", info.id);
      Put("name", info.name);
      Put("sentence", info.sentence);
      Put("time", caption_.violation->time);
      Put("text", caption_.violation->text);
      json_.EndObject();
    } else {
      json_.Null();
    }
    Put("total", recording_.total());
    json_.Key("broken");
    const std::optional<size_t> broken = recording_.violation();
    json_.Number(broken.has_value() ? static_cast<int64_t>(*broken) : -1);
    json_.Key("story");
    json_.BeginArray();
    for (const size_t step : TellStory(recording_, caption_.explanation)) json_.Unsigned(step);
    json_.EndArray();
    json_.Key("nodes");
    json_.BeginArray();
    for (const raft::NodeId node : recording_.nodes()) json_.Unsigned(node);
    json_.EndArray();
    json_.Key("start");
    json_.BeginObject();
    for (const auto& [node, view] : recording_.start()) {
      json_.Key(absl::StrCat(node));
      NodeChange change = FieldsThatDiffer(NodeView(), view);
      change.log = NodeChange::Log{view.base, view.base, view.log};
      WriteChange(change);
    }
    json_.EndObject();
    json_.Key("messageKinds");
    json_.BeginArray();
    for (size_t kind = 0; kind < kMessageKinds; ++kind) {
      json_.String(Name(static_cast<MessageKind>(kind)));
    }
    json_.EndArray();
  }

  void WriteChange(const NodeChange& change) {
    json_.BeginObject();
    if (change.run.has_value()) Put("u", static_cast<uint64_t>(*change.run));
    if (change.role.has_value()) Put("r", static_cast<uint64_t>(*change.role));
    Optional("t", change.term);
    Optional("v", change.vote);
    Optional("l", change.leader);
    Optional("c", change.commit);
    Optional("a", change.applied);
    Optional("d", change.durable);
    Optional("s", change.snapshot);
    Optional("p", change.promised);
    if (change.match.has_value()) {
      json_.Key("m");
      json_.BeginArray();
      for (const auto& [node, index] : *change.match) {
        json_.Unsigned(node);
        json_.Unsigned(index);
      }
      json_.EndArray();
    }
    if (change.conf.has_value()) Put("f", PlaceOf(*change.conf));
    if (change.log.has_value()) {
      Put("b", change.log->base);
      Put("k", change.log->keep);
      json_.Key("e");
      json_.BeginArray();
      for (const EntryNumber entry : change.log->appended) {
        json_.Unsigned(PlaceOf(entry, &entry_places_, &entries_));
      }
      json_.EndArray();
    }
    json_.EndObject();
  }

  uint64_t SubjectOf(const PictureEvent& event) {
    if (event.kind <= EventKind::kReset) {
      return PlaceOf(event.subject, &message_places_, &messages_);
    }
    if (event.kind == EventKind::kFault || event.kind == EventKind::kFaultOver) {
      return PlaceOf(event.subject, &fault_places_, &faults_);
    }
    if (event.kind >= EventKind::kInvoked && event.kind <= EventKind::kReturned) {
      return PlaceOf(event.subject, &operation_places_, &operations_);
    }
    return 0;
  }

  void WriteEvents() {
    json_.Key("events");
    json_.BeginArray();
    Time before = 0;
    for (const PictureEvent& event : recording_.events()) {
      const uint64_t fields[] = {event.time - before, static_cast<uint64_t>(event.kind), event.node,
                                 SubjectOf(event),
                                 event.text.empty() ? 0 : PlaceOf(event.text) + 1};
      before = event.time;
      size_t last = std::size(fields);
      if (event.change.empty()) {
        while (last > 2 && fields[last - 1] == 0) --last;
      }
      json_.BeginArray();
      for (size_t i = 0; i < last; ++i) json_.Unsigned(fields[i]);
      if (!event.change.empty()) WriteChange(event.change);
      json_.EndArray();
    }
    json_.EndArray();
  }

  // Only what is spoken of, and what lasts into the time of these events.
  void WriteTables() {
    const Time first = recording_.events().empty() ? 0 : recording_.events().front().time;
    for (const auto& [number, fault] : recording_.faults()) {
      if (fault.end.value_or(first) >= first) PlaceOf(number, &fault_places_, &faults_);
    }
    for (const auto& [number, operation] : recording_.operations()) {
      if (operation.end.value_or(first) >= first) {
        PlaceOf(number, &operation_places_, &operations_);
      }
    }
    json_.Key("entries");
    json_.BeginArray();
    for (const uint64_t number : entries_) {
      const PictureEntry& entry = recording_.entries()[number];
      json_.BeginArray();
      json_.Unsigned(entry.index);
      json_.Unsigned(entry.term);
      json_.Unsigned(PlaceOf(entry.text));
      json_.EndArray();
    }
    json_.EndArray();
    json_.Key("messages");
    json_.BeginArray();
    for (const uint64_t number : messages_) WriteMessage(recording_.messages().at(number));
    json_.EndArray();
    json_.Key("faults");
    json_.BeginArray();
    for (const uint64_t number : faults_) WriteFault(recording_.faults().at(number));
    json_.EndArray();
    json_.Key("operations");
    json_.BeginArray();
    for (const uint64_t number : operations_) WriteOperation(recording_.operations().at(number));
    json_.EndArray();
    json_.Key("strings");
    json_.BeginArray();
    for (const std::string& text : strings_) json_.String(text);
    json_.EndArray();
  }

  void WriteMessage(const PictureMessage& message) {
    json_.BeginArray();
    for (const uint64_t field :
         {message.from, message.to, message.sent, static_cast<uint64_t>(message.kind), message.term,
          uint64_t{message.refusal}, message.first, message.last, PlaceOf(message.text)}) {
      json_.Unsigned(field);
    }
    json_.EndArray();
  }

  void WriteEnd(const std::optional<Time>& end) {
    json_.Number(end.has_value() ? static_cast<int64_t>(*end) : -1);
  }

  void WriteFault(const PictureFault& fault) {
    json_.BeginArray();
    json_.Unsigned(PlaceOf(fault.name));
    json_.Unsigned(PlaceOf(fault.text));
    json_.Unsigned(fault.begin);
    WriteEnd(fault.end);
    json_.BeginArray();
    for (const raft::NodeId node : fault.nodes) json_.Unsigned(node);
    json_.EndArray();
    json_.BeginArray();
    for (const auto& [from, to] : fault.links) {
      json_.Unsigned(from);
      json_.Unsigned(to);
    }
    json_.EndArray();
    json_.EndArray();
  }

  void WriteOperation(const PictureOperation& operation) {
    json_.BeginArray();
    json_.Unsigned(PlaceOf(operation.client));
    json_.Unsigned(PlaceOf(operation.text));
    json_.Unsigned(operation.begin);
    WriteEnd(operation.end);
    json_.Unsigned(uint64_t{operation.acknowledged});
    json_.Unsigned(PlaceOf(operation.outcome));
    json_.EndArray();
  }

  const Recording& recording_;
  const Caption& caption_;
  JsonWriter json_;
  std::map<std::string, uint64_t> string_places_;
  std::vector<std::string> strings_;
  std::map<uint64_t, uint64_t> entry_places_, message_places_, fault_places_, operation_places_;
  std::vector<uint64_t> entries_, messages_, faults_, operations_;
};

}  // namespace

std::string EncodePicture(const Recording& recording, const Caption& caption) {
  return Encoder(recording, caption).Encode();
}

std::string WritePage(const Recording& recording, const Caption& caption) {
  // What is put in is not searched for marks again.
  return absl::StrReplaceAll(PageHtml(), {{"/*PAGE.CSS*/", PageCss()},
                                          {"/*PAGE.JS*/", PageJs()},
                                          {"/*DATA*/", EncodePicture(recording, caption)}});
}

}  // namespace raftkv::sim
