#include "simulation/store.h"

#include <cstdio>

#include "resources/json_fields.h"

namespace dbrestore::simulation {

using resources::field;
using resources::present_at;
using resources::text_at;

namespace {

constexpr size_t longest_history = 400;

// Every object lives until its finalizers are gone; a pod until its kubelet has ended it; a namespace until
// it is empty.
bool held(const Collection& collection, const json& document) {
    if (!resources::list_at(document, "metadata.finalizers").empty()) return true;
    if (collection.plural == "namespaces") return true;
    return collection.plural == "pods" && !text_at(document, "spec.nodeName").empty();
}

}  // namespace

const std::shared_ptr<const std::string>& Object::text() const {
    if (!text_) text_ = std::make_shared<const std::string>(document.dump());
    return text_;
}

Store::Store(const SimulatedClock& clock) : clock_(clock) {
    const auto add = [this](const char* plural, const char* kind, const char* version, bool custom = false) {
        collections_[plural] = {plural, kind, version, custom};
    };
    add("databaserestores", "DatabaseRestore", "dbrestore.dev/v1alpha1", true);
    add("postgresservers", "PostgresServer", "dbrestore.dev/v1alpha1", true);
    add("statefulsets", "StatefulSet", "apps/v1");
    add("pods", "Pod", "v1");
    add("jobs", "Job", "batch/v1");
    add("cronjobs", "CronJob", "batch/v1");
    add("persistentvolumeclaims", "PersistentVolumeClaim", "v1");
    add("namespaces", "Namespace", "v1");
    add("events", "Event", "v1");
}

Collection* Store::collection(const std::string& plural) {
    const auto at = collections_.find(plural);
    return at == collections_.end() ? nullptr : &at->second;
}

const json* Store::find(const std::string& plural, const Key& key) const {
    const auto& objects = collections_.at(plural).objects;
    const auto at = objects.find(key);
    return at == objects.end() ? nullptr : &at->second.document;
}

bool Store::namespace_open(const std::string& name) const {
    const json* found = find("namespaces", {"", name});
    return found != nullptr && !present_at(*found, "metadata.deletionTimestamp");
}

// The first eight digits are unique: names are made from them.
std::string Store::new_uid() {
    char text[48];
    const uint32_t mixed = ++uids_ * 0x9E3779B1u;
    std::snprintf(text, sizeof text, "%08x-0000-4000-8000-%012u", mixed, uids_);
    return text;
}

void Store::record(Collection& collection, Object& object, const char* type, const json* before) {
    object.version = ++version_;
    object.document["metadata"]["resourceVersion"] = std::to_string(object.version);
    object.changed();
    collection.events.push_back({object.version, type, object.text()});
    if (collection.events.size() > longest_history) compact(collection, longest_history / 2);
    if (on_change) on_change(collection, before, type[0] == 'D' ? nullptr : &object.document);
}

Answer Store::create(const std::string& plural, json document) {
    Collection& kind = collections_.at(plural);
    auto& metadata = document["metadata"];
    const Key key{text_at(document, "metadata.namespace"), text_at(document, "metadata.name")};
    if (!key.namespace_name.empty() && find("namespaces", {"", key.namespace_name}) == nullptr)
        return {404, "namespaces \"" + key.namespace_name + "\" not found"};
    if (kind.objects.contains(key)) return {409, plural + " \"" + key.name + "\" already exists"};
    if (!key.namespace_name.empty() && !namespace_open(key.namespace_name))
        return {403, "unable to create new content in namespace " + key.namespace_name +
                         " because it is being terminated"};
    metadata["uid"] = new_uid();
    metadata["creationTimestamp"] = base::format_time(clock_.now());
    metadata["generation"] = 1;
    document["kind"] = kind.kind;
    document["apiVersion"] = kind.api_version;
    if (kind.custom) document["status"] = {{"observedGeneration", -1}};
    Object& object = kind.objects[key];
    object.document = std::move(document);
    record(kind, object, "ADDED", nullptr);
    return {201, {}, &object};
}

Answer Store::replace(Collection& collection, Object& object, json document) {
    document["metadata"]["resourceVersion"] = object.document["metadata"]["resourceVersion"];
    if (document == object.document) return {200, {}, &object};
    if (field(document, "spec") != field(object.document, "spec"))
        document["metadata"]["generation"] =
            resources::integer_at(object.document, "metadata.generation") + 1;
    const json before = std::exchange(object.document, std::move(document));
    if (present_at(object.document, "metadata.deletionTimestamp") && !held(collection, object.document)) {
        const Key key{text_at(object.document, "metadata.namespace"),
                      text_at(object.document, "metadata.name")};
        erase(collection.plural, key);
        return {200, {}, nullptr};
    }
    record(collection, object, "MODIFIED", &before);
    return {200, {}, &object};
}

void Store::update(const std::string& plural, const Key& key, const std::function<void(json&)>& change) {
    Collection& kind = collections_.at(plural);
    const auto at = kind.objects.find(key);
    if (at == kind.objects.end()) return;
    json document = at->second.document;
    change(document);
    replace(kind, at->second, std::move(document));
}

Answer Store::remove(const std::string& plural, const Key& key, const std::string& uid) {
    Collection& kind = collections_.at(plural);
    const auto at = kind.objects.find(key);
    if (at == kind.objects.end()) return {404, plural + " \"" + key.name + "\" not found"};
    Object& object = at->second;
    if (!uid.empty() && uid != text_at(object.document, "metadata.uid"))
        return {409, "the UID in the precondition does not match"};
    if (present_at(object.document, "metadata.deletionTimestamp")) return {200, {}, &object};
    if (!held(kind, object.document)) {
        erase(plural, key);
        return {200, {}, nullptr};
    }
    json document = object.document;
    document["metadata"]["deletionTimestamp"] = base::format_time(clock_.now());
    return replace(kind, object, std::move(document));
}

void Store::erase(const std::string& plural, const Key& key) {
    Collection& kind = collections_.at(plural);
    const auto at = kind.objects.find(key);
    if (at == kind.objects.end()) return;
    Object object = std::move(at->second);
    kind.objects.erase(at);
    const json before = object.document;
    record(kind, object, "DELETED", &before);
}

void Store::compact(Collection& collection, size_t kept) {
    while (collection.events.size() > kept) {
        collection.compacted = collection.events.front().version;
        collection.events.pop_front();
    }
}

}  // namespace dbrestore::simulation
