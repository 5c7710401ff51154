#include "sim/picture/page.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "sim/picture/page_parts.h"
#include "sim/picture/story.h"

namespace raftkv::sim {
namespace {

// Keeps the order in which keys were added. It takes a std::string for a text; any other view of
// characters would become an array of numbers.
using Json = nlohmann::ordered_json;

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

  Json Encode() {
    Json all = Json::object();
    AddCaption(&all);
    AddEvents(&all);
    AddTables(&all);
    return all;
  }

 private:
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

  void AddCaption(Json* all) {
    (*all)["version"] = 1;
    (*all)["seed"] = absl::StrCat(caption_.seed);  // may be above what JavaScript counts exactly
    (*all)["profile"] = caption_.profile;
    (*all)["about"] = caption_.about;
    (*all)["replay"] = caption_.replay;
    (*all)["explanation"] = caption_.explanation;
    Json& violation = (*all)["violation"];
    if (caption_.violation.has_value()) {
      const OracleInfo& info = InfoOf(caption_.violation->oracle);
      violation["id"] = std::string(info.id);
      violation["name"] = std::string(info.name);
      violation["sentence"] = std::string(info.sentence);
      violation["time"] = caption_.violation->time;
      violation["text"] = caption_.violation->text;
    }
    (*all)["total"] = recording_.total();
    const std::optional<size_t> broken = recording_.violation();
    (*all)["broken"] = broken.has_value() ? static_cast<int64_t>(*broken) : -1;
    (*all)["story"] = TellStory(recording_, caption_.explanation);
    (*all)["nodes"] = recording_.nodes();
    Json& start = (*all)["start"] = Json::object();
    for (const auto& [node, view] : recording_.start()) {
      NodeChange change = FieldsThatDiffer(NodeView(), view);
      change.log = NodeChange::Log{view.base, view.base, view.log};
      start[absl::StrCat(node)] = EncodeChange(change);
    }
    Json& kinds = (*all)["messageKinds"] = Json::array();
    for (size_t kind = 0; kind < kMessageKinds; ++kind) {
      kinds.push_back(std::string(Name(static_cast<MessageKind>(kind))));
    }
  }

  Json EncodeChange(const NodeChange& change) {
    Json json = Json::object();
    const auto put = [&json](const char* key, const std::optional<uint64_t>& value) {
      if (value.has_value()) json[key] = *value;
    };
    if (change.run.has_value()) put("u", static_cast<uint64_t>(*change.run));
    if (change.role.has_value()) put("r", static_cast<uint64_t>(*change.role));
    put("t", change.term);
    put("v", change.vote);
    put("l", change.leader);
    put("c", change.commit);
    put("a", change.applied);
    put("d", change.durable);
    put("s", change.snapshot);
    put("p", change.promised);
    if (change.match.has_value()) json["m"] = Flat(*change.match);
    if (change.conf.has_value()) put("f", PlaceOf(*change.conf));
    if (change.log.has_value()) {
      put("b", change.log->base);
      put("k", change.log->keep);
      Json& appended = json["e"] = Json::array();
      for (const EntryNumber entry : change.log->appended) {
        appended.push_back(PlaceOf(entry, &entry_places_, &entries_));
      }
    }
    return json;
  }

  // [a, b, a, b, ...]
  static Json Flat(const std::vector<std::pair<uint64_t, uint64_t>>& pairs) {
    Json json = Json::array();
    for (const auto& [a, b] : pairs) {
      json.push_back(a);
      json.push_back(b);
    }
    return json;
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

  void AddEvents(Json* all) {
    Json& events = (*all)["events"] = Json::array();
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
      Json json = Json::array();
      for (size_t i = 0; i < last; ++i) json.push_back(fields[i]);
      if (!event.change.empty()) json.push_back(EncodeChange(event.change));
      events.push_back(std::move(json));
    }
  }

  // Only what is spoken of, and what lasts into the time of these events.
  void AddTables(Json* all) {
    const Time first = recording_.events().empty() ? 0 : recording_.events().front().time;
    for (const auto& [number, fault] : recording_.faults()) {
      if (fault.end.value_or(first) >= first) PlaceOf(number, &fault_places_, &faults_);
    }
    for (const auto& [number, operation] : recording_.operations()) {
      if (operation.end.value_or(first) >= first) {
        PlaceOf(number, &operation_places_, &operations_);
      }
    }
    Json& entries = (*all)["entries"] = Json::array();
    for (const uint64_t number : entries_) {
      const PictureEntry& entry = recording_.entries()[number];
      entries.push_back(Json::array({entry.index, entry.term, PlaceOf(entry.text)}));
    }
    Json& messages = (*all)["messages"] = Json::array();
    for (const uint64_t number : messages_) {
      messages.push_back(EncodeMessage(recording_.messages().at(number)));
    }
    Json& faults = (*all)["faults"] = Json::array();
    for (const uint64_t number : faults_) {
      faults.push_back(EncodeFault(recording_.faults().at(number)));
    }
    Json& operations = (*all)["operations"] = Json::array();
    for (const uint64_t number : operations_) {
      operations.push_back(EncodeOperation(recording_.operations().at(number)));
    }
    (*all)["strings"] = strings_;
  }

  Json EncodeMessage(const PictureMessage& message) {
    return Json::array({message.from, message.to, message.sent, static_cast<uint64_t>(message.kind),
                        message.term, uint64_t{message.refusal}, message.first, message.last,
                        PlaceOf(message.text)});
  }

  static int64_t End(const std::optional<Time>& end) {
    return end.has_value() ? static_cast<int64_t>(*end) : -1;
  }

  Json EncodeFault(const PictureFault& fault) {
    return Json::array({PlaceOf(fault.name), PlaceOf(fault.text), fault.begin, End(fault.end),
                        Json(fault.nodes), Flat(fault.links)});
  }

  Json EncodeOperation(const PictureOperation& operation) {
    return Json::array({PlaceOf(operation.client), PlaceOf(operation.text), operation.begin,
                        End(operation.end), uint64_t{operation.acknowledged},
                        PlaceOf(operation.outcome)});
  }

  const Recording& recording_;
  const Caption& caption_;
  std::map<std::string, uint64_t> string_places_;
  std::vector<std::string> strings_;
  std::map<uint64_t, uint64_t> entry_places_, message_places_, fault_places_, operation_places_;
  std::vector<uint64_t> entries_, messages_, faults_, operations_;
};

}  // namespace

std::string EncodePicture(const Recording& recording, const Caption& caption) {
  return Encoder(recording, caption)
      .Encode()
      .dump(/*indent=*/-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

std::string WritePage(const Recording& recording, const Caption& caption) {
  // A script element ends at the first "</script", wherever that stands. In JSON the character can
  // only be part of a string.
  const std::string data =
      absl::StrReplaceAll(EncodePicture(recording, caption), {{"<", "\\u003c"}});
  // What is put in is not searched for marks again.
  return absl::StrReplaceAll(
      PageHtml(), {{"/*PAGE.CSS*/", PageCss()}, {"/*PAGE.JS*/", PageJs()}, {"/*DATA*/", data}});
}

}  // namespace raftkv::sim
