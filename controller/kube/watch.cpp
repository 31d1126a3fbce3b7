#include "kube/watch.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "kube/frames.h"

namespace dbrestore::kube {

using base::Error;
using base::ErrorKind;
using std::chrono::milliseconds;

namespace {

constexpr size_t kLongestLineBytes = 16u << 20;  // etcd takes 1.5 MiB; as JSON it may be some times larger
constexpr auto kTooShort = std::chrono::seconds(1);
constexpr auto kGrace = std::chrono::seconds(15);
// After so many watches in a row that brought nothing, the position itself is suspect.
constexpr int kFruitlessWatches = 5;

WatchPosition list_again() {
    return {};
}

WatchPosition resume(std::string resource_version, int fruitless_watches) {
    return {WatchState::watch, {}, std::move(resource_version), fruitless_watches};
}

WatchStep after(const WatchPosition&, const PageListed& listed) {
    if (!listed.continue_token.empty())
        return {{WatchState::list_more, listed.continue_token, {}, 0}, Pace::at_once};
    return {resume(listed.resource_version, 0), Pace::at_once};
}

WatchStep after(const WatchPosition& position, const ListFailed& failed) {
    // The token of the next page outlives a bad connection, but nothing else.
    const bool same_page = failed.error.kind == ErrorKind::unavailable;
    return {same_page ? position : list_again(), Pace::back_off};
}

WatchStep after(const WatchPosition& position, const WatchBroke& broke) {
    const Pace pace = broke.progressed ? Pace::reset_and_back_off : Pace::back_off;
    const int fruitless = broke.progressed ? 0 : position.fruitless_watches + 1;
    const bool position_is_good =
        broke.error.kind == ErrorKind::unavailable || broke.error.kind == ErrorKind::refused;
    if (!position_is_good || fruitless >= kFruitlessWatches) return {list_again(), pace};
    return {resume(broke.last_resource_version, fruitless), pace};
}

WatchStep after(const WatchPosition& position, const WatchEnded& ended) {
    if (!ended.too_short) return {resume(ended.last_resource_version, 0), Pace::reset};
    return after(position,
                 WatchBroke{ended.last_resource_version, false, base::error(ErrorKind::unavailable, "")});
}

const Error* error_of(const WatchOutcome& outcome) {
    if (const auto* broke = std::get_if<WatchBroke>(&outcome)) return &broke->error;
    if (const auto* failed = std::get_if<ListFailed>(&outcome)) return &failed->error;
    return nullptr;
}

}  // namespace

WatchStep next_step(const WatchPosition& position, const WatchOutcome& outcome) {
    return std::visit([&position](const auto& what) { return after(position, what); }, outcome);
}

Reflector::Reflector(Http& http, RecordStore& store, Resource resource, ReflectorOptions options)
    : http_(http),
      store_(store),
      resource_(std::move(resource)),
      options_(std::move(options)),
      page_limit_(options_.page_limit),
      backoff_(options_.base_delay, options_.longest_delay, options_.seed) {}

void Reflector::run(std::stop_token stop) {
    while (!stop.stop_requested()) step(stop);
}

void Reflector::step(std::stop_token stop) {
    const WatchOutcome outcome = position_.state == WatchState::watch ? watch(stop) : list_page(stop);
    if (stop.stop_requested()) return;  // whatever broke, we broke it
    if (const Error* error = error_of(outcome)) report(*error);
    const WatchStep step = next_step(position_, outcome);
    position_ = step.next;
    pause(step.pace, outcome, stop);
}

WatchOutcome Reflector::list_page(std::stop_token stop) {
    ++lists_;
    if (position_.state == WatchState::list) store_.begin_replace();
    Request request;
    request.method = "GET";
    request.target = list_target();
    request.headers = {{"Accept", "application/json"}};
    auto response = http_.send(request, stop);
    if (!response) {
        // Perhaps few large objects make the page larger than what we are willing to hold.
        if (response.error().kind == ErrorKind::invalid) page_limit_ = std::max(1, page_limit_ / 2);
        return ListFailed{response.error()};
    }
    if (!response->ok()) return ListFailed{error_from_response(request, *response)};

    auto head = parse_list(response->body, [this](const ListedObject& listed) {
        store_.add_listed(listed.identity, listed.object);
    });
    if (!head) return ListFailed{head.error()};
    if (head->continue_token.empty()) store_.finish_replace(*parse_resource_version(head->resource_version));
    return PageListed{head->continue_token, head->resource_version};
}

WatchOutcome Reflector::watch(std::stop_token stop) {
    ++watches_;
    const auto start = options_.now();
    WatchBroke broke{position_.resource_version, false, {}};
    const auto break_with = [&broke](Error error) {
        broke.error = std::move(error);
        return broke;
    };

    Request request;
    request.method = "GET";
    request.target = watch_target();
    request.headers = {{"Accept", "application/json"}};
    // Silence alone proves nothing, since some kinds (events) get no bookmarks. But the server ends each
    // watch in time, so whatever lasts longer hangs on a dead connection.
    request.idle_timeout = options_.watch_timeout + kGrace;
    auto opened = http_.open(request, stop);
    if (!opened) return break_with(opened.error());
    if (!opened->stream) return break_with(error_from_response(request, opened->response));

    LineSplitter lines(kLongestLineBytes);
    for (;;) {
        auto piece = opened->stream->read();
        if (!piece) return break_with(piece.error());
        if (!*piece) break;  // what is left in `lines` is torn: the next watch sends it whole
        lines.append(**piece);
        while (const auto line = lines.next()) {
            auto frame = parse_watch_frame(*line);
            if (!frame) return break_with(frame.error());
            store_frame(*frame);
            broke.last_resource_version = frame->resource_version;
            broke.progressed = true;
        }
        if (lines.too_long()) return break_with(base::error(ErrorKind::invalid, "a watch event is too long"));
    }
    const bool too_short = !broke.progressed && options_.now() - start < kTooShort;
    return WatchEnded{broke.last_resource_version, too_short};
}

void Reflector::store_frame(const WatchFrame& frame) {
    const ObjectIdentity& identity = frame.object.identity;
    if (frame.type == FrameType::bookmark) return store_.advance(identity.resource_version);
    ++events_;
    if (frame.type == FrameType::put)
        store_.put(identity, frame.object.object);
    else
        store_.erase(identity);
}

std::string Reflector::list_target() const {
    // Without a resourceVersion the list is as new as the data is; with a continue token it must not be
    // given.
    std::string target = collection_path(resource_, options_.namespace_name) +
                         "?limit=" + std::to_string(page_limit_) + selector();
    if (position_.state == WatchState::list_more)
        target += "&continue=" + percent_encoded(position_.continue_token);
    return target;
}

std::string Reflector::watch_target() const {
    return collection_path(resource_, options_.namespace_name) +
           "?watch=1&allowWatchBookmarks=true&timeoutSeconds=" +
           std::to_string(options_.watch_timeout.count()) +
           "&resourceVersion=" + percent_encoded(position_.resource_version) + selector();
}

std::string Reflector::selector() const {
    return options_.label_selector.empty() ? ""
                                           : "&labelSelector=" + percent_encoded(options_.label_selector);
}

void Reflector::pause(Pace pace, const WatchOutcome& outcome, std::stop_token stop) {
    if (pace == Pace::reset || pace == Pace::reset_and_back_off) backoff_.reset();
    if (pace == Pace::at_once || pace == Pace::reset) return;
    milliseconds delay = backoff_.next();
    if (const Error* error = error_of(outcome)) {
        const milliseconds asked = std::chrono::seconds(error->retry_after_seconds);
        delay = std::max(delay, std::min(asked, options_.longest_delay));
    }
    options_.sleep(delay, stop);
}

void Reflector::report(const Error& error) {
    ++errors_;
    base::log_warning("watching must start again",
                      {{"resource", resource_.plural}, {"error", base::to_text(error)}});
}

ReflectorCounts Reflector::counts() const {
    return {lists_, watches_, events_, errors_};
}

}  // namespace dbrestore::kube
