#pragma once
// What the cluster holds of one kind, as projected records: filled by a Reflector, read by everybody.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "resources/kubernetes.h"

namespace dbrestore::kube {

using resources::Key;

// resourceVersions of one kind are decimal numbers that grow with each write and may be compared (API
// conventions since Kubernetes 1.34; true of every etcd-backed server before). Nothing where the text is
// none.
std::optional<uint64_t> parse_resource_version(std::string_view text);

struct ObjectIdentity {
    Key key;
    uint64_t resource_version = 0;
};

// What a Reflector fills; only its thread calls these.
class RecordStore {
public:
    virtual ~RecordStore() = default;

    // A list, page by page. Readers see nothing of it until finish_replace, which puts all of it in the place
    // of what was there; begin_replace drops the pages of a list that did not come to its end.
    virtual void begin_replace() = 0;
    virtual void add_listed(const ObjectIdentity& identity, const nlohmann::json& object) = 0;
    virtual void finish_replace(uint64_t resource_version) = 0;

    virtual void put(const ObjectIdentity& identity, const nlohmann::json& object) = 0;
    virtual void erase(const ObjectIdentity& identity) = 0;
    virtual void advance(uint64_t resource_version) = 0;  // a bookmark: seen up to here
};

// Records are immutable and shared: a reader keeps what it got while the cache goes on. Safe from any thread.
template <typename T>
class Cache final : public RecordStore {
public:
    using Record = std::shared_ptr<const T>;
    using Projection =
        std::function<std::optional<T>(const nlohmann::json& object)>;  // nothing: not of interest
    // One is empty where the object appeared or vanished. Called on the reflector's thread, after readers see
    // the change, without any lock held: it should only put keys into queues.
    using OnChange = std::function<void(const Key& key, const Record& before, const Record& after)>;

    explicit Cache(Projection projection, OnChange on_change = {})
        : projection_(std::move(projection)), on_change_(std::move(on_change)) {}

    // True from the end of the first list on.
    bool synced() const {
        const std::lock_guard lock(mutex_);
        return synced_;
    }

    // Waits for that; false where the stop came first.
    bool wait_synced(std::stop_token stop) const {
        std::unique_lock lock(mutex_);
        return changed_.wait(lock, std::move(stop), [this] { return synced_; });
    }

    // Empty: there is none.
    Record get(const Key& key) const {
        const std::lock_guard lock(mutex_);
        const auto at = entries_.find(key);
        return at == entries_.end() ? nullptr : at->second.record;
    }

    std::vector<Record> list() const {
        return list_if([](const T&) { return true; });
    }

    template <typename Predicate>
    std::vector<Record> list_if(Predicate&& wanted) const {
        std::vector<Record> found;
        const std::lock_guard lock(mutex_);
        for (const auto& [key, entry] : entries_)
            if (wanted(*entry.record)) found.push_back(entry.record);
        return found;
    }

    size_t size() const {
        const std::lock_guard lock(mutex_);
        return entries_.size();
    }

    // Whether the cache has caught up with the write that returned this resourceVersion: whatever it shows of
    // any object of this kind is at least as new. Empty or not a number: true, there is nothing to wait for.
    // After a restore of the API server's own etcd it may never become true, so bound the wait.
    bool has_seen(std::string_view resource_version) const {
        const auto wanted = parse_resource_version(resource_version);
        const std::lock_guard lock(mutex_);
        return !wanted || (synced_ && highest_seen_ >= *wanted);
    }

    void begin_replace() override { staged_.clear(); }

    void add_listed(const ObjectIdentity& identity, const nlohmann::json& object) override {
        if (auto projected = projection_(object))
            staged_[identity.key] = {identity.resource_version,
                                     std::make_shared<const T>(std::move(*projected))};
    }

    void finish_replace(uint64_t resource_version) override {
        std::vector<Change> changes = changes_to(staged_);
        {
            const std::lock_guard lock(mutex_);
            entries_ = std::move(staged_);
            highest_seen_ =
                resource_version;  // not the maximum: an API server restored from a backup counts anew
            synced_ = true;
        }
        staged_.clear();
        changed_.notify_all();
        for (const Change& change : changes) notify(change.key, change.before, change.after);
    }

    void put(const ObjectIdentity& identity, const nlohmann::json& object) override {
        auto projected = projection_(object);
        if (!projected) return erase(identity);
        auto record = std::make_shared<const T>(std::move(*projected));
        Record before;
        {
            const std::lock_guard lock(mutex_);
            Entry& entry = entries_[identity.key];
            before = std::exchange(entry.record, record);
            entry.resource_version = identity.resource_version;
            raise_seen(identity.resource_version);
        }
        notify(identity.key, before, record);
    }

    void erase(const ObjectIdentity& identity) override {
        Record before;
        {
            const std::lock_guard lock(mutex_);
            raise_seen(identity.resource_version);
            const auto at = entries_.find(identity.key);
            if (at == entries_.end()) return;
            before = at->second.record;
            entries_.erase(at);
        }
        notify(identity.key, before, nullptr);
    }

    void advance(uint64_t resource_version) override {
        const std::lock_guard lock(mutex_);
        raise_seen(resource_version);
    }

private:
    struct Entry {
        uint64_t resource_version = 0;
        Record record;
    };
    struct Change {
        Key key;
        Record before, after;
    };

    // Reads entries_ without the lock: nobody writes it but the thread that calls this.
    std::vector<Change> changes_to(const std::map<Key, Entry>& listed) const {
        std::vector<Change> changes;
        for (const auto& [key, entry] : listed) {
            const auto before = entries_.find(key);
            if (before == entries_.end())
                changes.push_back({key, nullptr, entry.record});
            else if (before->second.resource_version != entry.resource_version)
                changes.push_back({key, before->second.record, entry.record});
        }
        for (const auto& [key, entry] : entries_)
            if (!listed.contains(key)) changes.push_back({key, entry.record, nullptr});
        return changes;
    }

    void raise_seen(uint64_t resource_version) {
        if (resource_version > highest_seen_) highest_seen_ = resource_version;
    }
    void notify(const Key& key, const Record& before, const Record& after) const {
        if (on_change_) on_change_(key, before, after);
    }

    const Projection projection_;
    const OnChange on_change_;
    std::map<Key, Entry> staged_;  // the reflector's thread alone

    mutable std::mutex mutex_;
    mutable std::condition_variable_any changed_;
    std::map<Key, Entry> entries_;
    uint64_t highest_seen_ = 0;
    bool synced_ = false;
};

}  // namespace dbrestore::kube
