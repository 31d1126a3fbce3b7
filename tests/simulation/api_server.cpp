#include "simulation/api_server.h"

#include <algorithm>
#include <charconv>

#include "resources/json_fields.h"

namespace dbrestore::simulation {

using kube::Response;
using resources::field;
using resources::text_at;

namespace {

std::string decoded(std::string_view text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            int value = 0;
            std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
            plain += static_cast<char>(value);
            i += 2;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const size_t end = text.find(separator);
        if (end != 0) parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return parts;
}

// "a=b,c=d": of labels, or of fields by their path.
bool selected(const json& document, const std::string& selector, bool by_label) {
    for (const auto& term : split(selector, ',')) {
        const size_t equals = term.find('=');
        const std::string name = term.substr(0, equals), wanted = term.substr(equals + 1);
        const json& labels = field(document, "metadata.labels");
        const std::string value = !by_label            ? text_at(document, name)
                                  : labels.is_object() ? labels.value(name, std::string())
                                                       : std::string();
        if (value != wanted) return false;
    }
    return true;
}

Response object_response(const Answer& answer, const std::string& fallback = "{}") {
    if (!answer.ok()) return status_response(answer.code, answer.message);
    return {answer.code, 0, answer.object == nullptr ? fallback : *answer.object->text()};
}

bool version_conflicts(const json& body, const Object& object) {
    const std::string wanted = text_at(body, "metadata.resourceVersion");
    return !wanted.empty() && wanted != std::to_string(object.version);
}

Response conflict() {
    return status_response(409,
                           "the object has been modified; please apply your changes to the latest version");
}

// What a manager applies of a status: each field, and each condition by its type.
std::set<std::string> fields_of(const json& status) {
    std::set<std::string> names;
    for (const auto& [name, value] : status.items()) {
        if (name != "conditions") {
            names.insert(name);
            continue;
        }
        for (const auto& condition : value) names.insert("conditions/" + text_at(condition, "type"));
    }
    return names;
}

json* condition_in(json& status, const std::string& type) {
    for (auto& condition : status["conditions"]) {
        if (text_at(condition, "type") == type) return &condition;
    }
    return nullptr;
}

void remove_field(json& status, const std::string& name) {
    if (!name.starts_with("conditions/")) {
        status.erase(name);
        return;
    }
    auto& conditions = status["conditions"];
    const std::string type = name.substr(name.find('/') + 1);
    conditions.erase(
        std::remove_if(conditions.begin(), conditions.end(),
                       [&](const json& condition) { return text_at(condition, "type") == type; }),
        conditions.end());
    if (conditions.empty()) status.erase("conditions");
}

void set_fields(json& status, const json& applied) {
    for (const auto& [name, value] : applied.items()) {
        if (name != "conditions") {
            status[name] = value;
            continue;
        }
        for (const auto& condition : value) {
            json* existing = condition_in(status, text_at(condition, "type"));
            if (existing != nullptr)
                *existing = condition;
            else
                status["conditions"].push_back(condition);
        }
    }
}

}  // namespace

// As an Update does: whoever changes the value owns it from then on, alone. One that changes nothing leaves
// no trace.
void own_suspend(const json& before, json& after, const std::string& manager) {
    if (field(before, "spec.suspend") == field(after, "spec.suspend")) return;
    after["metadata"]["managedFields"] = {{{"manager", manager},
                                           {"operation", "Update"},
                                           {"fieldsType", "FieldsV1"},
                                           {"fieldsV1", {{"f:spec", {{"f:suspend", json::object()}}}}}}};
}

std::string Target::parameter(const std::string& key_name) const {
    const auto at = query.find(key_name);
    return at == query.end() ? std::string() : at->second;
}

// /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NAMESPACE/]PLURAL[/NAME[/SUBRESOURCE]].
Target parse_target(std::string_view text) {
    Target target;
    const size_t question = text.find('?');
    if (question != std::string_view::npos) {
        for (const auto& part : split(text.substr(question + 1), '&')) {
            const size_t equals = part.find('=');
            target.query[part.substr(0, equals)] = decoded(part.substr(equals + 1));
        }
    }
    auto parts = split(text.substr(0, question), '/');
    parts.erase(parts.begin(), parts.begin() + (parts[0] == "api" ? 2 : 3));
    if (parts.size() > 2 && parts[0] == "namespaces") {
        target.namespace_name = decoded(parts[1]);
        parts.erase(parts.begin(), parts.begin() + 2);
    }
    target.plural = parts[0];
    if (parts.size() > 1) target.name = decoded(parts[1]);
    if (parts.size() > 2) target.subresource = parts[2];
    return target;
}

Response status_response(int code, const std::string& message) {
    const json status{{"kind", "Status"}, {"apiVersion", "v1"}, {"code", code}, {"message", message}};
    return {code, 0, status.dump()};
}

Response ApiServer::handle(const kube::Request& request) {
    const Target target = parse_target(request.target);
    if (store_.collection(target.plural) == nullptr) return status_response(404, "no such resource");
    if (request.method == "GET") return target.name.empty() ? list(target) : get(target);
    if (request.method == "POST") return create(target, request.body);
    if (request.method == "DELETE") return remove(target, request.body);
    std::string content_type;
    for (const auto& [name, value] : request.headers) {
        if (name == "Content-Type") content_type = value;
    }
    return patch(target, content_type, request.body);
}

Response ApiServer::get(const Target& target) const {
    const auto& objects = store_.all(target.plural).objects;
    const auto at = objects.find(target.key());
    if (at == objects.end())
        return status_response(404, target.plural + " \"" + target.name + "\" not found");
    if (target.subresource != "log") return {200, 0, *at->second.text()};
    const auto log = logs.find(target.key());
    return {200, 0, log == logs.end() ? std::string() : log->second};
}

Response ApiServer::list(const Target& target) {
    Pages pages{store_.version(), target.plural, {}};
    if (const std::string token = target.parameter("continue"); !token.empty()) {
        const auto at = pages_.find(token);
        if (at == pages_.end() || at->second.version < store_.all(target.plural).compacted)
            return status_response(410, "The provided continue parameter is too old");
        pages = at->second;
    } else {
        const std::string labels = target.parameter("labelSelector"),
                          fields = target.parameter("fieldSelector");
        for (const auto& [key, object] : store_.all(target.plural).objects) {
            if (!target.namespace_name.empty() && key.namespace_name != target.namespace_name) continue;
            if (!labels.empty() && !selected(object.document, labels, true)) continue;
            if (!fields.empty() && !selected(object.document, fields, false)) continue;
            pages.left.push_back(object.text());
        }
    }
    const std::string limit_text = target.parameter("limit");
    const size_t limit = limit_text.empty() ? 500 : std::stoul(limit_text);
    const size_t count = std::min(limit, pages.left.size());
    std::string items, next;
    for (size_t i = 0; i < count; ++i) items += (i == 0 ? "" : ",") + *pages.left[i];
    if (count < pages.left.size()) {
        pages.left.erase(pages.left.begin(), pages.left.begin() + static_cast<std::ptrdiff_t>(count));
        next = "page-" + std::to_string(++page_tokens_);
        if (pages_.size() > 20) pages_.erase(pages_.begin());
        pages_[next] = pages;
    }
    return {200, 0,
            R"({"kind":"List","metadata":{"resourceVersion":")" + std::to_string(pages.version) + "\"" +
                (next.empty() ? "" : ",\"continue\":\"" + next + "\"") + "},\"items\":[" + items + "]}"};
}

Response ApiServer::create(const Target& target, const std::string& body) {
    json document = json::parse(body, nullptr, false);
    if (!document.is_object()) return status_response(400, "the body is no JSON object");
    if (target.plural == "events") return record_event(document);
    document["metadata"]["namespace"] = target.namespace_name;
    if (store_.collection(target.plural)->custom) document.erase("status");
    return object_response(store_.create(target.plural, std::move(document)));
}

// Events expire and decide nothing: they are checked as the API server does, and counted.
Response ApiServer::record_event(const json& event) {
    const std::string note = text_at(event, "note");
    if (note.size() > 1024 || text_at(event, "reason").empty() || text_at(event, "reason").size() > 128 ||
        text_at(event, "eventTime").empty() || text_at(event, "reportingController").empty() ||
        text_at(event, "reportingInstance").empty() || text_at(event, "action").empty())
        return status_response(422, "the Event is invalid");
    if (!store_.namespace_open(text_at(event, "metadata.namespace")))
        return status_response(403, "the namespace is being terminated");
    ++events_recorded;
    return {201, 0, event.dump()};
}

Response ApiServer::patch(const Target& target, const std::string& content_type, const std::string& body) {
    const json patch = json::parse(body, nullptr, false);
    if (!patch.is_object()) return status_response(400, "the body is no JSON object");
    Collection& kind = *store_.collection(target.plural);
    const auto at = kind.objects.find(target.key());
    if (at == kind.objects.end())
        return status_response(404, target.plural + " \"" + target.name + "\" not found");
    Object& object = at->second;
    if (version_conflicts(patch, object)) return conflict();
    if (content_type == "application/apply-patch+yaml" && target.subresource == "status")
        return apply_status(target, kind, object, patch);
    if (content_type != "application/merge-patch+json")
        return status_response(415, "the simulation knows no such patch");
    if (target.subresource == "scale") return scale(target, patch);
    if (!target.subresource.empty()) return status_response(404, "no such subresource");
    json document = object.document;
    document.merge_patch(patch);
    if (target.plural == "cronjobs") own_suspend(object.document, document, target.parameter("fieldManager"));
    if (kind.custom) document["status"] = field(object.document, "status");
    return object_response(store_.replace(kind, object, std::move(document)));
}

// Server-side apply: this manager's fields become exactly what it sends.
Response ApiServer::apply_status(const Target& target, Collection& kind, Object& object, const json& body) {
    const std::string manager = target.parameter("fieldManager");
    if (manager.empty()) return status_response(400, "PatchOptions: fieldManager is required");
    const json& applied = field(body, "status");
    if (!applied.is_object()) return status_response(422, "status must be an object");
    const auto wanted = fields_of(applied);
    for (auto& [other, theirs] : object.owners) {
        if (other == manager) continue;
        for (const auto& name : wanted) {
            if (!theirs.contains(name)) continue;
            if (target.parameter("force") != "true")
                return status_response(409, "conflict with \"" + other + "\": ." + name);
            theirs.erase(name);
        }
    }
    json document = object.document;
    auto& status = document["status"];
    for (const auto& name : object.owners[manager]) {
        if (!wanted.contains(name)) remove_field(status, name);
    }
    set_fields(status, applied);
    object.owners[manager] = wanted;
    return object_response(store_.replace(kind, object, std::move(document)));
}

Response ApiServer::scale(const Target& target, const json& patch) {
    Collection& kind = *store_.collection(target.plural);
    Object& object = kind.objects.at(target.key());
    json document = object.document;
    document["spec"]["replicas"] = resources::integer_at(patch, "spec.replicas");
    const Answer answer = store_.replace(kind, object, std::move(document));
    const json scaled{{"kind", "Scale"},
                      {"apiVersion", "autoscaling/v1"},
                      {"metadata",
                       {{"name", target.name},
                        {"namespace", target.namespace_name},
                        {"resourceVersion", std::to_string(object.version)}}},
                      {"spec", {{"replicas", object.document["spec"]["replicas"]}}}};
    return {answer.code, 0, scaled.dump()};
}

Response ApiServer::remove(const Target& target, const std::string& body) {
    const json options = json::parse(body, nullptr, false);
    if (options.is_object() && text_at(options, "propagationPolicy") != "Background")
        return status_response(400, "the simulation deletes in the background only");
    return object_response(store_.remove(target.plural, target.key(), text_at(options, "preconditions.uid")),
                           R"({"kind":"Status","status":"Success"})");
}

std::optional<ApiServer::Lines> ApiServer::watch(const Target& target, uint64_t after, size_t limit) const {
    const Collection& kind = store_.all(target.plural);
    if (after < kind.compacted) return std::nullopt;
    Lines lines{{}, after};
    auto at = std::ranges::lower_bound(kind.events, after + 1, {}, &Event::version);
    for (; at != kind.events.end() && limit > 0; ++at, --limit) {
        lines.text += std::string("{\"type\":\"") + at->type + "\",\"object\":" + *at->text + "}\n";
        lines.version = at->version;
    }
    return lines;
}

std::string ApiServer::bookmark(const Collection& collection, uint64_t version) {
    return R"({"type":"BOOKMARK","object":{"kind":")" + collection.kind + R"(","apiVersion":")" +
           collection.api_version + R"(","metadata":{"resourceVersion":")" + std::to_string(version) +
           "\"}}}\n";
}

}  // namespace dbrestore::simulation
