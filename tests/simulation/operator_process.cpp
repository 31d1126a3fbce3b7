#include "simulation/operator_process.h"

#include <algorithm>

namespace dbrestore::simulation {

using base::ErrorKind;
using std::chrono::milliseconds;

namespace {

// As Caches::connect has them, but for Deployments: there are none here.
constexpr std::array<const char*, watched_kinds> plurals{
    "databaserestores", "postgresservers", "statefulsets", "pods", "jobs", "persistentvolumeclaims"};

class Piece final : public kube::Stream {
public:
    Piece(std::string text, bool breaks) : text_(std::move(text)), breaks_(breaks) {}
    base::Result<std::optional<std::string>> read() override {
        if (!text_.empty()) return std::optional(std::exchange(text_, {}));
        if (breaks_) return base::error(ErrorKind::unavailable, "the connection broke");
        return std::optional<std::string>();
    }

private:
    std::string text_;
    bool breaks_;
};

std::optional<kube::Response> answer_of(Fault fault) {
    kube::Response response;
    switch (fault) {
        case Fault::error_401:
            return status_response(401, "Unauthorized");
        case Fault::error_403:
            return status_response(403, "Forbidden");
        case Fault::error_409:
            return status_response(409, "the object has been modified");
        case Fault::error_410:
            return status_response(410, "Expired: too old resource version");
        case Fault::error_429:
            response = status_response(429, "Too many requests");
            response.retry_after_seconds = 3;
            return response;
        case Fault::error_500:
            return status_response(500, "Internal error");
        case Fault::error_503:
            return status_response(503, "Service unavailable");
        case Fault::error_504:
            return status_response(504, "Timeout");
        default:
            return std::nullopt;
    }
}

base::Error no_answer() {
    return base::error(ErrorKind::unavailable, "no answer came");
}

std::string doubled(const std::string& lines) {
    std::string twice;
    for (size_t at = 0; at < lines.size();) {
        const size_t end = lines.find('\n', at) + 1;
        twice += lines.substr(at, end - at) + lines.substr(at, end - at);
        at = end;
    }
    return twice;
}

}  // namespace

OperatorProcess::OperatorProcess(ApiServer& api, Store& store, const SimulatedClock& clock,
                                 op::Metrics& metrics, Events events, uint64_t seed)
    : api_(api),
      store_(store),
      clock_(clock),
      events_(std::move(events)),
      client_(*this),
      restore_queue_(queue_options()),
      server_queue_(queue_options()),
      caches_(restore_queue_, server_queue_),
      controller_(client_, caches_, restore_queue_, server_queue_, metrics, clock, {"agent:1"}),
      reflectors_(caches_.connect(*this, reflector_options(seed))) {
    caches_.deployments.begin_replace();
    caches_.deployments.finish_replace(0);
}

kube::WorkQueueOptions OperatorProcess::queue_options() const {
    kube::WorkQueueOptions options;
    options.longest_delay = std::chrono::minutes(1);
    options.now = [this] { return clock_.steady(); };
    return options;
}

kube::ReflectorOptions OperatorProcess::reflector_options(uint64_t seed) {
    kube::ReflectorOptions options;
    options.page_limit = 3;
    options.seed = seed;
    options.now = [this] { return clock_.steady(); };
    options.sleep = [this](milliseconds delay, const std::stop_token&) {
        not_before_[stepping_] = clock_.steady() + delay;
    };
    return options;
}

bool OperatorProcess::has_news(size_t kind) const {
    const auto& position = reflectors_[kind]->position();
    if (position.state != kube::WatchState::watch) return true;
    const auto& all = store_.all(plurals.at(kind));
    const uint64_t seen = *kube::parse_resource_version(position.resource_version);
    return all.compacted > seen || (!all.events.empty() && all.events.back().version > seen);
}

uint64_t OperatorProcess::known_version(size_t kind) const {
    const auto& position = reflectors_[kind]->position();
    if (position.state != kube::WatchState::watch) return 0;
    return kube::parse_resource_version(position.resource_version).value_or(0);
}

bool OperatorProcess::step_reflector(size_t kind, size_t limit) {
    const auto now = clock_.steady();
    if (now < not_before_[kind] || now < stale_until_[kind] || !has_news(kind)) return false;
    stepping_ = kind;
    limit_ = limit;
    reflectors_[kind]->step({});
    return true;
}

base::Result<kube::Response> OperatorProcess::send(const kube::Request& request, std::stop_token) {
    const auto fault = events_.at_call ? events_.at_call(request) : std::nullopt;
    if (fault == Fault::crash_before) throw Killed();
    if (fault == Fault::timed_out) return no_answer();
    if (fault) {
        if (auto answer = answer_of(*fault)) return *answer;
    }
    if (events_.asks) events_.asks(request);
    kube::Response response = api_.handle(request);
    if (fault == Fault::crash_after) throw Killed();
    if (fault == Fault::response_lost) return no_answer();
    if (events_.is_answered && response.status < 300) events_.is_answered(request);
    return response;
}

base::Result<kube::OpenedStream> OperatorProcess::open(const kube::Request& request, std::stop_token) {
    const auto fault = events_.at_watch ? events_.at_watch(request) : std::nullopt;
    return stream(parse_target(request.target), fault);
}

kube::OpenedStream OperatorProcess::stream(const Target& target, std::optional<Fault> fault) {
    const auto gone = [] { return kube::OpenedStream{status_response(410, "Expired"), nullptr}; };
    const auto open_with = [](std::string text, bool breaks = false) {
        return kube::OpenedStream{{200, 0, {}}, std::make_unique<Piece>(std::move(text), breaks)};
    };
    uint64_t after = *kube::parse_resource_version(target.parameter("resourceVersion"));
    Collection& kind = *store_.collection(target.plural);
    if (fault == Fault::events_compacted) {
        store_.compact(kind, 0);
        return gone();
    }
    if (fault == Fault::events_replayed) {
        const auto at = std::ranges::lower_bound(kind.events, after, {}, &Event::version);
        const auto back = std::min<std::ptrdiff_t>(3, at - kind.events.begin());
        if (back > 0) after = (at - back)->version - 1;
        limit_ += 3;
    }
    auto lines = api_.watch(target, after, limit_);
    if (!lines) return gone();
    if (fault == Fault::error_in_stream)
        return open_with(lines->text +
                         R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"Expired"}})"
                         "\n");
    if (fault == Fault::events_doubled) lines->text = doubled(lines->text);
    if (fault == Fault::stream_broken) return open_with(lines->text, true);
    if (fault == Fault::stream_torn)
        return open_with(lines->text.substr(0, lines->text.size() * 2 / 3), true);
    if (fault == Fault::stream_garbled) return open_with(lines->text + "<html>502 Bad Gateway</html>\n");
    return open_with(lines->text + ApiServer::bookmark(kind, lines->version));
}

}  // namespace dbrestore::simulation
