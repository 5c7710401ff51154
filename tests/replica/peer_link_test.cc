#include "core/replica/peer_link.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::replica {
namespace {

using raft::NodeId;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr wire::ClusterId kCluster = {0x1111, 0x2222};
constexpr uint64_t kSecond = 1'000'000;

uint64_t IncarnationOf(NodeId node) { return 100 + node; }
std::string AddressOf(NodeId node) { return absl::StrCat("host", node, ":7401"); }

LinkIdentity Identity(NodeId node) {
  return {.cluster = kCluster,
          .node = node,
          .incarnation = IncarnationOf(node),
          .address = AddressOf(node)};
}

// A message whose commit index tells it from others.
std::string Frame(NodeId from, NodeId to, uint64_t number, size_t padding = 0) {
  wire::PeerMessage message;
  message.envelope = {.from = from,
                      .from_incarnation = IncarnationOf(from),
                      .to = to,
                      .to_incarnation = IncarnationOf(to)};
  message.body = wire::SnapshotAck{.transfer = number};
  if (padding > 0) {
    message.body = wire::ForwardReply{.id = number,
                                      .outcome = wire::ForwardOutcome::kApplied,
                                      .index = 1,
                                      .result = std::string(padding, 'x'),
                                      .text = ""};
  }
  std::string frame;
  wire::PeerEncoder().AppendTo(message, &frame);
  return frame;
}

uint64_t NumberOf(absl::string_view body) {
  const auto message = wire::DecodePeer(body);
  EXPECT_TRUE(message.ok()) << message.status();
  if (!message.ok()) return 0;
  if (const auto* reply = std::get_if<wire::ForwardReply>(&message->body)) return reply->id;
  return std::get<wire::SnapshotAck>(message->body).transfer;
}

std::string HelloFrame(const wire::Envelope& envelope, const wire::Hello& hello) {
  std::string frame;
  wire::PeerEncoder().AppendTo(wire::PeerMessage{envelope, hello}, &frame);
  return frame;
}

wire::Envelope EnvelopeFrom2To1() {
  return {.from = 2, .from_incarnation = IncarnationOf(2), .to = 1, .to_incarnation = 101};
}

wire::Hello FittingHello() { return {.cluster = kCluster, .address = AddressOf(2)}; }

// ---- PeerLink

// What node 1 says to a first frame from whoever dialed it; empty: accepted.
std::string Verdict(absl::string_view bytes) {
  const LinkIdentity self = Identity(1);
  PeerLink link(PeerLink::Direction::kIncoming, self);
  link.Receive(bytes);
  absl::string_view body;
  EXPECT_FALSE(link.Next(&body));
  EXPECT_NE(link.established(), !link.status().ok());
  return std::string(link.status().message());
}

TEST(PeerLinkHello, AFittingOneIsAccepted) {
  EXPECT_EQ(Verdict(HelloFrame(EnvelopeFrom2To1(), FittingHello())), "");
}

TEST(PeerLinkHello, FirstContactNamesNobody) {
  wire::Envelope envelope = EnvelopeFrom2To1();
  envelope.to = raft::kNoNode;
  envelope.to_incarnation = 0;
  EXPECT_EQ(Verdict(HelloFrame(envelope, FittingHello())), "");
}

TEST(PeerLinkHello, UnknownFeaturesAreNoReasonToRefuse) {
  wire::Hello hello = FittingHello();
  hello.features = ~uint64_t{0};
  hello.protocol_max = 9;
  EXPECT_EQ(Verdict(HelloFrame(EnvelopeFrom2To1(), hello)), "");
}

TEST(PeerLinkHello, AnotherClusterIsRefused) {
  wire::Hello hello = FittingHello();
  hello.cluster.low = 0x3333;
  EXPECT_EQ(Verdict(HelloFrame(EnvelopeFrom2To1(), hello)),
            "node 2 belongs to cluster 00000000000011110000000000003333, this is cluster "
            "00000000000011110000000000002222");
}

TEST(PeerLinkHello, AnotherGroupIsRefused) {
  wire::Envelope envelope = EnvelopeFrom2To1();
  envelope.group = 7;
  EXPECT_EQ(Verdict(HelloFrame(envelope, FittingHello())),
            "node 2 speaks for group 7, this is group 0");
}

TEST(PeerLinkHello, OneForAnotherNodeIsRefused) {
  wire::Envelope envelope = EnvelopeFrom2To1();
  envelope.to = 3;
  EXPECT_EQ(Verdict(HelloFrame(envelope, FittingHello())), "node 2 wants node 3, this is node 1");
}

TEST(PeerLinkHello, OneForAnEarlierLifeOfOurDiskIsRefused) {
  wire::Envelope envelope = EnvelopeFrom2To1();
  envelope.to_incarnation = 55;
  EXPECT_EQ(Verdict(HelloFrame(envelope, FittingHello())),
            "node 2 wants incarnation 55 of this node, this is incarnation 101");
}

TEST(PeerLinkHello, OurselvesAndOurDoubleAreRefused) {
  wire::Envelope envelope = EnvelopeFrom2To1();
  envelope.from = 1;
  envelope.from_incarnation = IncarnationOf(1);
  envelope.to = raft::kNoNode;
  envelope.to_incarnation = 0;
  EXPECT_EQ(Verdict(HelloFrame(envelope, FittingHello())), "this is node 1 itself");
  envelope.from_incarnation = 9;
  EXPECT_EQ(Verdict(HelloFrame(envelope, FittingHello())),
            "another process also claims to be node 1");
}

TEST(PeerLinkHello, AProtocolWeDoNotSpeakIsRefused) {
  wire::Hello hello = FittingHello();
  hello.protocol_min = wire::kProtocolMax + 1;
  hello.protocol_max = wire::kProtocolMax + 4;
  EXPECT_EQ(Verdict(HelloFrame(EnvelopeFrom2To1(), hello)),
            "node 2 speaks protocol 2 to 5, this node 1 to 1");
}

TEST(PeerLinkHello, AnotherMessageFirstIsRefused) {
  EXPECT_THAT(Verdict(Frame(2, 1, 1)), HasSubstr("not a Hello"));
}

TEST(PeerLinkHello, ALargeFrameIsNotWaitedForBeforeTheHello) {
  // Its header alone is enough to refuse it.
  EXPECT_NE(Verdict(Frame(2, 1, 1, 8192).substr(0, wire::kFrameHeaderSize)), "");
}

TEST(PeerLinkHello, AnOutgoingLinkChecksWhoAnswers) {
  const LinkIdentity self = Identity(1);
  absl::string_view body;
  PeerLink other_node(PeerLink::Direction::kOutgoing, self, 3, IncarnationOf(3));
  other_node.Receive(HelloFrame(EnvelopeFrom2To1(), FittingHello()));
  EXPECT_FALSE(other_node.Next(&body));
  EXPECT_EQ(other_node.status().message(), "node 3 was expected there, found node 2");

  PeerLink other_life(PeerLink::Direction::kOutgoing, self, 2, 77);
  other_life.Receive(HelloFrame(EnvelopeFrom2To1(), FittingHello()));
  EXPECT_FALSE(other_life.Next(&body));
  EXPECT_EQ(other_life.status().message(), "node 2 has incarnation 102, 77 was expected");

  PeerLink first_contact(PeerLink::Direction::kOutgoing, self, 2, 0);
  first_contact.Receive(HelloFrame(EnvelopeFrom2To1(), FittingHello()));
  EXPECT_FALSE(first_contact.Next(&body));
  EXPECT_TRUE(first_contact.established()) << first_contact.status();
  EXPECT_EQ(first_contact.peer_incarnation(), 102u);
}

TEST(PeerLink, AnySplitOfTheBytesGivesTheSameBodies) {
  const std::string stream = HelloFrame(EnvelopeFrom2To1(), FittingHello()) + Frame(2, 1, 7) +
                             Frame(2, 1, 8, 300) + Frame(2, 1, 9);
  const LinkIdentity self = Identity(1);
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    PeerLink link(PeerLink::Direction::kIncoming, self);
    std::vector<uint64_t> numbers;
    for (size_t at = 0; at < stream.size(); at += piece) {
      link.Receive(absl::string_view(stream).substr(at, piece));
      absl::string_view body;
      if (!link.established()) link.Next(&body);
      while (link.established() && link.Next(&body)) numbers.push_back(NumberOf(body));
    }
    ASSERT_TRUE(link.status().ok()) << link.status();
    ASSERT_THAT(numbers, ElementsAre(7, 8, 9)) << "pieces of " << piece;
  }
}

TEST(PeerLink, HostileBytesEndItOrWaitButNeverDeliver) {
  const LinkIdentity self = Identity(1);
  Random random(17);
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes = HelloFrame(EnvelopeFrom2To1(), FittingHello()) + Frame(2, 1, 1);
    // One damaged byte anywhere: no body may get through whose checksum does not hold.
    const size_t at = random.Below(bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1 + random.Below(255)));
    PeerLink link(PeerLink::Direction::kIncoming, self);
    link.Receive(bytes);
    absl::string_view body;
    int bodies = 0;
    if (!link.Next(&body) && link.established()) {
      while (link.Next(&body)) ++bodies;
    }
    EXPECT_EQ(bodies, 0) << "byte " << at;
    EXPECT_LE(link.capacity(), 8u * PeerLink::kMaxHelloBody);
  }
}

TEST(PeerLink, FourGigabytesAreNeitherTakenNorAllocated) {
  const LinkIdentity self = Identity(1);
  PeerLink link(PeerLink::Direction::kIncoming, self);
  link.Receive(HelloFrame(EnvelopeFrom2To1(), FittingHello()));
  absl::string_view body;
  EXPECT_FALSE(link.Next(&body));
  ASSERT_TRUE(link.established());
  std::string header = Frame(2, 1, 1).substr(0, wire::kFrameHeaderSize);
  header.replace(4, 4, "\xf8\xff\xff\xff");
  link.Receive(header);
  EXPECT_FALSE(link.Next(&body));
  EXPECT_FALSE(link.status().ok());
  EXPECT_LE(link.capacity(), 64u << 10);
}

// ---- Backoff

TEST(Backoff, DoublesUpToItsMaximumWithJitterInTheUpperHalf) {
  Backoff backoff(50, 2'000, Random(3));
  for (int round = 0; round < 2; ++round) {
    for (uint64_t step :
         std::initializer_list<uint64_t>{50, 100, 200, 400, 800, 1'600, 2'000, 2'000, 2'000}) {
      const uint64_t delay = backoff.Next();
      EXPECT_GE(delay, step / 2);
      EXPECT_LE(delay, step);
    }
    backoff.Reset();
  }
}

TEST(Backoff, ItsSeedDecidesTheJitter) {
  Backoff a(50'000, 2'000'000, Random(1)), same(50'000, 2'000'000, Random(1)),
      other(50'000, 2'000'000, Random(2));
  bool differs = false;
  for (int i = 0; i < 10; ++i) {
    const uint64_t delay = a.Next();
    EXPECT_EQ(delay, same.Next());
    differs |= delay != other.Next();
  }
  EXPECT_TRUE(differs);
}

// ---- PeerLinks

// Nodes whose connections are pairs of pipes. Bytes are carried in pieces of `piece` bytes and only
// as far as a pipe's `room` reaches.
class World {
 public:
  struct Node {
    PeerLinks links;
    std::vector<uint64_t> received;
    std::vector<PeerLinks::Event> events;
    std::vector<NodeId> unreachable;
    bool listening = true;
  };
  struct Key {
    NodeId node;
    PeerLinks::ConnectionId connection;
    auto operator<=>(const Key&) const = default;
  };
  struct End {
    Key other;
    std::string unsent;
    size_t room = std::numeric_limits<size_t>::max();
  };

  explicit World(NodeId count, PeerLinkOptions options = {}) {
    for (NodeId id = 1; id <= count; ++id) {
      nodes.emplace(id, Node{PeerLinks(Identity(id), options, id), {}, {}, {}, true});
    }
  }

  Node& operator[](NodeId id) { return nodes.at(id); }

  static std::map<NodeId, PeerLinks::Peer> Members(std::vector<NodeId> ids) {
    std::map<NodeId, PeerLinks::Peer> members;
    for (NodeId id : ids) members[id] = {AddressOf(id), IncarnationOf(id)};
    return members;
  }

  void KnowEachOther() {
    std::vector<NodeId> ids;
    for (auto& [id, node] : nodes) ids.push_back(id);
    Check();
    for (auto& [id, node] : nodes) node.links.SetPeers(Members(ids));
    Check();
  }

  void Advance(uint64_t us) {
    now += us;
    for (auto& [id, node] : nodes) node.links.AdvanceTime(now);
    Check();
    Settle();
  }

  // Carries everything until nothing moves.
  void Settle() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& [id, node] : nodes) moved |= Turn(id, node);
    }
  }

  bool Turn(NodeId id, Node& node) {
    Check();
    const bool has_work = node.links.HasWork();
    PeerLinks::Work work = node.links.TakeWork();
    bool moved = !work.empty();
    EXPECT_EQ(has_work, moved);
    Check();
    for (auto& write : work.writes) {
      auto end = ends.find({id, write.connection});
      if (end != ends.end()) end->second.unsent += write.bytes;
    }
    for (auto& event : work.events) node.events.push_back(event);
    for (NodeId peer : work.unreachable) node.unreachable.push_back(peer);
    moved |= Carry(id);
    for (PeerLinks::ConnectionId connection : work.close) Break({id, connection});
    for (auto& dial : work.dials) {
      ++dials;
      auto target = std::find_if(nodes.begin(), nodes.end(), [&](const auto& n) {
        return AddressOf(n.first) == dial.address && n.second.listening;
      });
      if (target == nodes.end()) {
        node.links.Closed(dial.connection, "connection refused");
        continue;
      }
      const Key here{id, dial.connection}, there{target->first, target->second.links.Accepted()};
      ends[here].other = there;
      ends[there].other = here;
      Check();
      node.links.Connected(dial.connection);
      Check();
    }
    return moved;
  }

  bool Carry(NodeId from) {
    bool moved = false;
    for (auto it = ends.lower_bound({from, 0}); it != ends.end() && it->first.node == from;) {
      const Key key = it->first;
      End& end = it->second;
      const size_t take = std::min({piece, end.unsent.size(), end.room});
      ++it;
      if (take == 0) continue;
      moved = true;
      end.room -= take;
      const std::string bytes = end.unsent.substr(0, take);
      end.unsent.erase(0, take);
      const Key other = end.other;
      nodes.at(from).links.Written(key.connection, take);
      Check();
      Node& receiver = nodes.at(other.node);
      receiver.links.Received(other.connection, bytes, [&](absl::string_view body) {
        Check();
        receiver.received.push_back(NumberOf(body));
      });
      Check();
    }
    return moved;
  }

  // One side has closed: the other hears of it.
  void Break(Key key) {
    auto end = ends.find(key);
    if (end == ends.end()) return;
    const Key other = end->second.other;
    ends.erase(end);
    ends.erase(other);
    nodes.at(other.node).links.Closed(other.connection, "closed by the other side");
    Check();
  }

  // Asking also makes them remember what they say.
  void Check() {
    for (const auto& [id, node] : nodes) {
      ASSERT_EQ(node.links.next_deadline_us(), node.links.FindDeadlineUs()) << "node " << id;
    }
  }

  std::vector<std::string> Said(NodeId id, PeerLinks::EventKind kind) {
    std::vector<std::string> texts;
    for (const auto& event : nodes.at(id).events) {
      if (event.kind == kind) texts.push_back(event.text);
    }
    return texts;
  }

  // A connection to node `to` that somebody outside opens.
  PeerLinks::ConnectionId Stranger(NodeId to) { return nodes.at(to).links.Accepted(); }

  std::map<NodeId, Node> nodes;
  std::map<Key, End> ends;
  uint64_t now = 1;
  size_t piece = 1 << 20;
  int dials = 0;
};

TEST(PeerLinks, EverybodyReachesEverybodyInOrder) {
  for (size_t piece : {size_t{1}, size_t{13}, size_t{100'000}}) {
    World world(3);
    world.piece = piece;
    world.KnowEachOther();
    world.Settle();
    for (uint64_t number = 1; number <= 20; ++number) {
      world[1].links.Send(2, Frame(1, 2, number));
      world[2].links.Send(1, Frame(2, 1, 100 + number, 500));
    }
    world[3].links.Send(2, Frame(3, 2, 1000));
    world.Settle();
    EXPECT_THAT(world[2].received, SizeIs(21));
    ASSERT_THAT(world[1].received, SizeIs(20));
    for (uint64_t number = 1; number <= 20; ++number) {
      EXPECT_EQ(world[1].received[number - 1], 100 + number);
    }
    EXPECT_THAT(world[1].unreachable, IsEmpty());
    EXPECT_EQ(world.dials, 6);
  }
}

TEST(PeerLinks, FramesWaitForAConnectionThatIsBeingMade) {
  World world(2);
  world.KnowEachOther();
  world[1].links.Send(2, Frame(1, 2, 5));  // before anything was dialed
  world.Settle();
  EXPECT_THAT(world[2].received, ElementsAre(5));
}

TEST(PeerLinks, APeerThatIsDownIsTriedLessAndLessOften) {
  World world(2);
  world.KnowEachOther();
  world[2].listening = false;
  world[2].links.SetPeers({});
  for (int i = 0; i < 600; ++i) world.Advance(100'000);  // a minute
  // 50 ms doubling to 2 s with jitter: about 6 tries, then one each 1 to 2 seconds.
  EXPECT_GE(world.dials, 30);
  EXPECT_LE(world.dials, 75);
  EXPECT_THAT(world.Said(1, PeerLinks::EventKind::kFailing),
              ElementsAre("host2:7401: connection refused"));

  world[2].listening = true;
  world.Advance(2 * kSecond);
  EXPECT_TRUE(world[1].links.IsUp(2));
}

TEST(PeerLinks, WithoutAConnectionFramesAreDroppedAndSaidToBe) {
  World world(2);
  world[1].links.SetPeers(World::Members({1, 2}));
  world[2].listening = false;
  world.Settle();
  world[1].links.Send(2, Frame(1, 2, 1));
  world[1].links.Send(9, Frame(1, 9, 1));
  world.Settle();
  EXPECT_THAT(world[1].unreachable, ElementsAre(2, 9));
  world[2].listening = true;
  world.Advance(2 * kSecond);
  EXPECT_THAT(world[2].received, IsEmpty());
}

TEST(PeerLinks, ALostConnectionIsReportedAndMadeAgain) {
  World world(2);
  world.KnowEachOther();
  world.Advance(5 * kSecond);
  ASSERT_TRUE(world[1].links.IsUp(2));
  // Cut with half a frame on its way.
  for (auto& [key, end] : world.ends) end.room = 10;
  world[1].links.Send(2, Frame(1, 2, 1));
  world.Settle();
  std::vector<World::Key> keys;
  for (auto& [key, end] : world.ends) keys.push_back(key);
  for (const World::Key& key : keys) {
    if (world.ends.contains(key)) {
      world.nodes.at(key.node).links.Closed(key.connection, "reset");
      world.Break(key);
    }
  }
  world.Settle();
  EXPECT_THAT(world[1].unreachable, ElementsAre(2));
  EXPECT_FALSE(world[1].links.IsUp(2));
  world.Advance(100'000);
  ASSERT_TRUE(world[1].links.IsUp(2));
  world[1].links.Send(2, Frame(1, 2, 2));
  world.Settle();
  // The torn frame left no trace on the new connection.
  EXPECT_THAT(world[2].received, ElementsAre(2));
}

TEST(PeerLinks, AFullOutboxDropsTheNewestFramesWhole) {
  PeerLinkOptions options;
  options.max_outbox_bytes = 10'000;
  options.max_handed_over_bytes = 1'000;
  World world(2, options);
  world.KnowEachOther();
  world.Settle();
  for (auto& [key, end] : world.ends) end.room = 0;
  for (uint64_t number = 1; number <= 100; ++number) {
    world[1].links.Send(2, Frame(1, 2, number, 900));
  }
  EXPECT_LE(world[1].links.outbox_bytes(2), 10'000u);
  world.Settle();
  EXPECT_THAT(world[1].unreachable, ElementsAre(2));
  for (auto& [key, end] : world.ends) end.room = std::numeric_limits<size_t>::max();
  world.piece = 77;
  world.Settle();
  ASSERT_FALSE(world[2].received.empty());
  for (size_t i = 0; i < world[2].received.size(); ++i) EXPECT_EQ(world[2].received[i], i + 1);
  EXPECT_LT(world[2].received.size(), 20u);
  EXPECT_EQ(world[1].links.outbox_bytes(2), 0u);
}

TEST(PeerLinks, OneFrameLargerThanTheOutboxStillGoes) {
  PeerLinkOptions options;
  options.max_outbox_bytes = 100;
  World world(2, options);
  world.KnowEachOther();
  world.Settle();
  world[1].links.Send(2, Frame(1, 2, 3, 5'000));
  world.Settle();
  EXPECT_THAT(world[2].received, ElementsAre(3));
}

TEST(PeerLinks, AConnectionThatTakesNoBytesIsClosed) {
  World world(2);
  world.KnowEachOther();
  world.Advance(1);
  for (auto& [key, end] : world.ends) {
    if (key.node == 1) end.room = 0;
  }
  world[1].links.Send(2, Frame(1, 2, 1));
  world.Settle();
  EXPECT_EQ(world[1].links.next_deadline_us(), world.now + 10 * kSecond);
  world.Advance(10 * kSecond - 1);
  EXPECT_TRUE(world[1].links.IsUp(2));
  world.Advance(1);
  EXPECT_THAT(world.Said(1, PeerLinks::EventKind::kDown), ElementsAre("it takes no more bytes"));
  EXPECT_THAT(world[1].unreachable, ElementsAre(2));
  world.Advance(100'000);
  EXPECT_TRUE(world[1].links.IsUp(2));
}

TEST(PeerLinks, AConnectionWithoutAHelloIsClosedAfterFiveSeconds) {
  World world(1);
  world.Stranger(1);
  EXPECT_EQ(world[1].links.next_deadline_us(), 5 * kSecond);
  world.nodes.at(1).links.AdvanceTime(5 * kSecond - 1);
  EXPECT_THAT(world[1].links.TakeWork().close, IsEmpty());
  world.nodes.at(1).links.AdvanceTime(5 * kSecond);
  PeerLinks::Work work = world[1].links.TakeWork();
  EXPECT_THAT(work.close, SizeIs(1));
  ASSERT_THAT(work.events, SizeIs(1));
  EXPECT_EQ(work.events[0].text, "no hello in time");
  EXPECT_EQ(world[1].links.connections(), 0u);
}

TEST(PeerLinks, ADialWithoutAnAnswerEndsToo) {
  PeerLinks links(Identity(1), {}, 1);
  links.SetPeers(World::Members({2}));
  PeerLinks::Work work = links.TakeWork();
  ASSERT_THAT(work.dials, SizeIs(1));
  links.Connected(work.dials[0].connection);
  EXPECT_THAT(links.TakeWork().writes, SizeIs(1));
  links.AdvanceTime(5 * kSecond);
  EXPECT_THAT(links.TakeWork().close, ElementsAre(work.dials[0].connection));
}

TEST(PeerLinks, NothingIsSentBeforeTheOtherSaysWhoItIs) {
  PeerLinks links(Identity(1), {}, 1);
  links.SetPeers(World::Members({2}));
  const auto connection = links.TakeWork().dials.at(0).connection;
  links.Connected(connection);
  links.Send(2, Frame(1, 2, 1));
  std::vector<PeerLinks::Work::Write> writes = links.TakeWork().writes;
  ASSERT_THAT(writes, SizeIs(1));
  wire::FrameReader reader;
  reader.Feed(writes[0].bytes);
  absl::string_view body;
  ASSERT_TRUE(reader.Next(&body));
  const auto hello = wire::DecodePeer(body);
  ASSERT_TRUE(hello.ok());
  EXPECT_TRUE(std::holds_alternative<wire::Hello>(hello->body));
  EXPECT_FALSE(reader.Next(&body));
}

TEST(PeerLinks, AFloodOfStrangersPushesOutTheOldestOfThem) {
  PeerLinkOptions options;
  options.max_strangers = 10;
  World world(2, options);
  std::vector<PeerLinks::ConnectionId> strangers;
  for (int i = 0; i < 15; ++i) strangers.push_back(world.Stranger(1));
  PeerLinks::Work work = world[1].links.TakeWork();
  EXPECT_THAT(work.close,
              ElementsAre(strangers[0], strangers[1], strangers[2], strangers[3], strangers[4]));
  // A peer still gets in.
  world.KnowEachOther();
  world.Settle();
  EXPECT_TRUE(world[2].links.IsUp(1));
}

TEST(PeerLinks, AWrongClusterIsSaidOnBothSides) {
  World world(1);
  LinkIdentity foreign = Identity(2);
  foreign.cluster = {5, 5};
  world.nodes.emplace(2, World::Node{PeerLinks(foreign, {}, 2), {}, {}, {}, true});
  world[2].links.SetPeers(World::Members({1}));
  world.Settle();
  EXPECT_THAT(world.Said(1, PeerLinks::EventKind::kRefused),
              ElementsAre(HasSubstr("node 2 belongs to cluster")));
  EXPECT_THAT(world.Said(2, PeerLinks::EventKind::kFailing),
              ElementsAre(HasSubstr("node 1 belongs to cluster")));
  EXPECT_FALSE(world[2].links.IsUp(1));
}

TEST(PeerLinks, ANodeWhoseDiskWasReplacedIsNotMistakenForItsEarlierLife) {
  World world(1);
  LinkIdentity reborn = Identity(2);
  reborn.incarnation = 9;
  world.nodes.emplace(2, World::Node{PeerLinks(reborn, {}, 2), {}, {}, {}, true});
  world[1].links.SetPeers(World::Members({1, 2}));
  world[2].links.SetPeers(World::Members({1}));
  world.Settle();
  EXPECT_FALSE(world[1].links.IsUp(2));
  EXPECT_THAT(world.Said(1, PeerLinks::EventKind::kRefused),
              testing::Contains("node 2 has incarnation 9, the members say 102"));
  EXPECT_THAT(
      world.Said(2, PeerLinks::EventKind::kRefused),
      testing::Contains("node 1 wants incarnation 102 of this node, this is incarnation 9"));

  // The members learn of its new life.
  world[1].links.SetPeers({{2, {AddressOf(2), 9}}});
  world.Advance(3 * kSecond);
  EXPECT_TRUE(world[1].links.IsUp(2));
  EXPECT_TRUE(world[2].links.IsUp(1));
}

TEST(PeerLinks, ALinkThatEndsAsSoonAsItIsUpIsNotTriedInAHurry) {
  World world(2);
  world[1].links.SetPeers(World::Members({1, 2}));
  // Node 2 thinks node 1 has another incarnation: it refuses after saying a hello that fits.
  world[2].links.SetPeers({{1, {"nowhere", 55}}});
  world.Settle();
  world.dials = 0;
  for (int i = 0; i < 600; ++i) world.Advance(100'000);
  EXPECT_LE(world.dials, 150);  // both nodes, a minute
}

TEST(PeerLinks, TheNewestConnectionFromAPeerReplacesTheOlder) {
  World world(1);
  const std::string hello = HelloFrame(EnvelopeFrom2To1(), FittingHello());
  PeerLinks& links = world[1].links;
  std::vector<uint64_t> received;
  auto deliver = [&](absl::string_view body) { received.push_back(NumberOf(body)); };
  const auto old = links.Accepted();
  links.Received(old, hello + Frame(2, 1, 1) + Frame(2, 1, 2).substr(0, 20), deliver);
  const auto young = links.Accepted();
  links.Received(young, hello, deliver);
  EXPECT_THAT(links.TakeWork().close, ElementsAre(old));
  // What was still on the old one comes too late.
  links.Received(old, Frame(2, 1, 2).substr(20) + Frame(2, 1, 3), deliver);
  links.Received(young, Frame(2, 1, 4), deliver);
  EXPECT_THAT(received, ElementsAre(1, 4));
}

TEST(PeerLinks, ANodeThatKnowsNobodyAnswersWhoDialedIt) {
  World world(2);
  world[1].links.SetPeers(World::Members({1, 2}));  // the leader knows the newcomer
  world.Settle();
  world[1].links.Send(2, Frame(1, 2, 1));
  world.Settle();
  EXPECT_THAT(world[2].received, ElementsAre(1));
  EXPECT_EQ(world.dials, 1);  // not before there is something to say
  world[2].links.Send(1, Frame(2, 1, 2));
  world.Settle();
  EXPECT_THAT(world[1].received, ElementsAre(2));
}

TEST(PeerLinks, UnknownNodesAreRememberedWithinLimits) {
  PeerLinks links(Identity(1), {}, 1);
  auto nothing = [](absl::string_view) {};
  size_t refused = 0;
  for (NodeId node = 2; node < 2'000; ++node) {
    const auto connection = links.Accepted();
    links.Received(connection,
                   HelloFrame({.from = node, .from_incarnation = 1, .to = 1}, FittingHello()),
                   nothing);
    refused += links.TakeWork().close.size();
  }
  EXPECT_EQ(links.connections(), wire::kMaxMembers);
  EXPECT_EQ(refused, 1'998 - wire::kMaxMembers);
}

TEST(PeerLinks, APeerThatIsDroppedOrMovesLosesItsConnection) {
  World world(3);
  world[1].links.SetPeers(World::Members({1, 2}));
  world.Settle();
  ASSERT_TRUE(world[1].links.IsUp(2));
  // Its id moves to another address: node 3's, which is not node 2.
  world[1].links.SetPeers({{2, {AddressOf(3), IncarnationOf(2)}}});
  world.Settle();
  EXPECT_FALSE(world[1].links.IsUp(2));
  EXPECT_THAT(world.Said(1, PeerLinks::EventKind::kFailing),
              ElementsAre(HasSubstr("node 2 was expected there, found node 3")));
  world[1].links.SetPeers({});
  world.Advance(60 * kSecond);
  EXPECT_EQ(world[1].links.connections(), 0u);
  EXPECT_EQ(world[1].links.next_deadline_us(), std::numeric_limits<uint64_t>::max());
}

TEST(PeerLinks, MessagesOnAConnectionThatIsOursToSendOnEndIt) {
  PeerLinks links(Identity(1), {}, 1);
  links.SetPeers(World::Members({2}));
  const auto connection = links.TakeWork().dials.at(0).connection;
  links.Connected(connection);
  int delivered = 0;
  links.Received(connection, HelloFrame(EnvelopeFrom2To1(), FittingHello()) + Frame(2, 1, 1),
                 [&](absl::string_view) { ++delivered; });
  EXPECT_EQ(delivered, 0);
  EXPECT_THAT(links.TakeWork().close, ElementsAre(connection));
}

TEST(PeerLinks, LateNewsOfForgottenConnectionsIsIgnored) {
  PeerLinks links(Identity(1), {}, 1);
  links.SetPeers(World::Members({2}));
  const auto connection = links.TakeWork().dials.at(0).connection;
  links.SetPeers({});
  links.TakeWork();
  links.Connected(connection);
  links.Received(connection, "bytes", [](absl::string_view) { FAIL(); });
  links.Written(connection, 10);
  links.Closed(connection, "late");
  EXPECT_TRUE(links.TakeWork().empty());
}

TEST(PeerLinks, RandomBytesFromManyStrangersDisturbNobody) {
  World world(2);
  world.KnowEachOther();
  world.Settle();
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    const auto stranger = world.Stranger(1);
    std::string bytes;
    for (uint64_t n = random.Below(200); n > 0; --n) {
      bytes.push_back(static_cast<char>(random.Below(256)));
    }
    world[1].links.Received(stranger, bytes, [](absl::string_view) { FAIL(); });
  }
  world[2].links.Send(1, Frame(2, 1, 42));
  world.Settle();
  EXPECT_THAT(world[1].received, ElementsAre(42));
  world.Advance(6 * kSecond);
  EXPECT_EQ(world[1].links.strangers(), 0u);
  EXPECT_TRUE(world[1].links.IsUp(2));
}

}  // namespace
}  // namespace raftkv::replica
