#pragma once
// What the API server holds: objects by kind, one counter for all resourceVersions, and the events that a
// watch is made of.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "resources/kubernetes.h"
#include "simulation/chance.h"

namespace dbrestore::simulation {

using nlohmann::json;
using resources::Key;

struct Object {
    json document;
    uint64_t version = 0;
    std::map<std::string, std::set<std::string>> owners;  // field manager → its fields of status

    // Written once for all who read it.
    const std::shared_ptr<const std::string>& text() const;
    void changed() { text_.reset(); }

private:
    mutable std::shared_ptr<const std::string> text_;
};

struct Event {
    uint64_t version = 0;
    const char* type = "";  // ADDED, MODIFIED, DELETED
    std::shared_ptr<const std::string> text;
};

struct Collection {
    std::string plural, kind, api_version;
    bool custom = false;  // a CRD with the subresource status
    std::map<Key, Object> objects = {};
    std::deque<Event> events = {};
    uint64_t compacted = 0;  // events up to here are gone
};

// How a write ended, as an HTTP status code.
struct Answer {
    int code = 200;
    std::string message = {};
    const Object* object = nullptr;
    bool ok() const { return code < 300; }
};

class Store {
public:
    // One is null where the object appeared or vanished.
    using OnChange = std::function<void(const Collection&, const json* before, const json* after)>;

    explicit Store(const SimulatedClock& clock);

    Collection* collection(const std::string& plural);
    const Collection& all(const std::string& plural) const { return collections_.at(plural); }
    const json* find(const std::string& plural, const Key& key) const;
    uint64_t version() const { return version_; }

    // 201, 409; 403 in a namespace that is being deleted.
    Answer create(const std::string& plural, json document);
    // Replaces the whole document, which keeps uid and creation time. A write that changes nothing keeps its
    // version. An object that is being deleted goes with its last finalizer.
    Answer replace(Collection& collection, Object& object, json document);
    void update(const std::string& plural, const Key& key, const std::function<void(json&)>& change);
    // Deletion begins: finalizers, or a pod's kubelet, may hold the object.
    Answer remove(const std::string& plural, const Key& key, const std::string& uid = {});
    void erase(const std::string& plural, const Key& key);

    // Forgets all events but the newest of one kind.
    void compact(Collection& collection, size_t kept);

    bool namespace_open(const std::string& name) const;

    OnChange on_change;

private:
    std::string new_uid();
    void record(Collection& collection, Object& object, const char* type, const json* before);

    const SimulatedClock& clock_;
    std::map<std::string, Collection> collections_;
    uint64_t version_ = 1000;
    uint32_t uids_ = 0;
};

}  // namespace dbrestore::simulation
