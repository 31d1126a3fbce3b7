#include "kube/client.h"

#include <algorithm>
#include <utility>

#include "resources/json_fields.h"

namespace dbrestore::kube {

using base::Error;
using base::ErrorKind;
using base::Result;
using nlohmann::json;

namespace {

constexpr size_t kLongestMessage = 1000;

std::string group_version(const Resource& resource) {
    return resource.group.empty() ? resource.version : resource.group + "/" + resource.version;
}

std::string path_of(const Request& request) {
    return request.target.substr(0, request.target.find('?'));
}

std::string query_of(std::initializer_list<std::pair<std::string_view, std::string>> parameters) {
    std::string query;
    for (const auto& [name, value] : parameters) {
        if (value.empty()) continue;
        query += query.empty() ? '?' : '&';
        query += name;
        query += '=';
        query += percent_encoded(value);
    }
    return query;
}

// The message of a Status document; of anything else (a proxy's page) the beginning.
std::string message_in(const std::string& body) {
    const json status = json::parse(body, nullptr, false);
    std::string message = resources::text_at(status, "message");
    if (message.empty()) message = body;
    std::replace_if(
        message.begin(), message.end(), [](unsigned char c) { return c < ' '; }, ' ');
    if (message.size() > kLongestMessage) message = message.substr(0, kLongestMessage) + " …";
    return message;
}

ErrorKind kind_of(int status) {
    switch (status) {
        case 401:
        case 403:
            return ErrorKind::refused;
        case 404:
            return ErrorKind::not_found;
        case 409:
            return ErrorKind::conflict;
        case 410:
            return ErrorKind::expired;
        case 408:
        case 429:
            return ErrorKind::unavailable;
        default:
            return status >= 500 ? ErrorKind::unavailable : ErrorKind::invalid;
    }
}

Request request_for(std::string method, std::string target, std::string content_type = {},
                    std::string body = {}) {
    Request request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.headers.emplace_back("Accept", "application/json");
    if (!content_type.empty()) request.headers.emplace_back("Content-Type", std::move(content_type));
    request.body = std::move(body);
    return request;
}

// Foreign text that is no UTF-8 is replaced instead of throwing.
std::string text_of(const json& document) {
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string percent_encoded(std::string_view text) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            encoded += c;
        } else {
            encoded += '%';
            encoded += kDigits[byte >> 4];
            encoded += kDigits[byte & 15];
        }
    }
    return encoded;
}

std::string collection_path(const Resource& resource, const std::string& namespace_name) {
    std::string path = (resource.group.empty() ? "/api/" : "/apis/") + group_version(resource);
    if (!namespace_name.empty()) path += "/namespaces/" + percent_encoded(namespace_name);
    return path + "/" + resource.plural;
}

std::string object_path(const Resource& resource, const Key& key, std::string_view subresource) {
    std::string path = collection_path(resource, key.namespace_name) + "/" + percent_encoded(key.name);
    if (!subresource.empty()) path += "/" + std::string(subresource);
    return path;
}

Error error_from_response(const Request& request, const Response& response) {
    Error failure = base::error(kind_of(response.status), request.method + " " + path_of(request) + ": " +
                                                              std::to_string(response.status) + " " +
                                                              message_in(response.body));
    failure.retry_after_seconds = response.retry_after_seconds;
    if (response.status >= 300 && response.status < 400)
        failure.hint = "the server redirects, which is not followed: configure the API server's own address";
    if (response.status == 401)
        failure.hint = "the credentials are not accepted: check token or client certificate";
    return failure;
}

Result<json> Client::get(const Resource& resource, const Key& key, std::string_view subresource) {
    return exchange_json(request_for("GET", object_path(resource, key, subresource)));
}

Result<ListPage> Client::list(const Resource& resource, const std::string& namespace_name,
                              const ListOptions& options) {
    const std::string query = query_of({{"limit", std::to_string(options.limit)},
                                        {"labelSelector", options.label_selector},
                                        {"fieldSelector", options.field_selector},
                                        {"continue", options.continue_token}});
    auto document = exchange_json(request_for("GET", collection_path(resource, namespace_name) + query));
    if (!document) return document.error();
    ListPage page;
    page.resource_version = resources::text_at(*document, "metadata.resourceVersion");
    page.continue_token = resources::text_at(*document, "metadata.continue");
    json& items = (*document)["items"];
    if (items.is_array()) page.items = std::move(items.get_ref<json::array_t&>());
    return page;
}

Result<std::vector<json>> Client::list_all(const Resource& resource, const std::string& namespace_name,
                                           const std::string& label_selector) {
    std::vector<json> all;
    ListOptions options;
    options.label_selector = label_selector;
    bool started_over = false;
    for (;;) {
        auto page = list(resource, namespace_name, options);
        if (!page && page.error().kind == ErrorKind::expired && !started_over) {
            started_over = true;
            options.continue_token.clear();
            all.clear();
            continue;
        }
        if (!page) return page.error();
        std::move(page->items.begin(), page->items.end(), std::back_inserter(all));
        if (page->continue_token.empty()) return all;
        options.continue_token = page->continue_token;
    }
}

Result<json> Client::create(const Resource& resource, const std::string& namespace_name, const json& body) {
    return exchange_json(
        request_for("POST", collection_path(resource, namespace_name), "application/json", text_of(body)));
}

Result<json> Client::apply(const Resource& resource, const Key& key, std::string_view subresource,
                           const json& body, const ApplyOptions& options) {
    const std::string query =
        query_of({{"fieldManager", options.field_manager}, {"force", options.force ? "true" : "false"}});
    // JSON is YAML, and the only patch type that Kubernetes knows for apply is named after YAML.
    return exchange_json(request_for("PATCH", object_path(resource, key, subresource) + query,
                                     "application/apply-patch+yaml", text_of(body)));
}

Result<json> Client::merge_patch(const Resource& resource, const Key& key, std::string_view subresource,
                                 const json& patch, std::string_view field_manager) {
    const std::string query = query_of({{"fieldManager", std::string(field_manager)}});
    return exchange_json(request_for("PATCH", object_path(resource, key, subresource) + query,
                                     "application/merge-patch+json", text_of(patch)));
}

base::Status Client::remove(const Resource& resource, const Key& key, const DeleteOptions& options) {
    json body = {{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", "Background"}};
    if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
    auto answer =
        exchange(request_for("DELETE", object_path(resource, key), "application/json", text_of(body)));
    if (!answer) return answer.error();
    return base::success();
}

Result<std::string> Client::pod_log(const Key& pod, const LogOptions& options) {
    const auto positive = [](int64_t number) { return number > 0 ? std::to_string(number) : std::string(); };
    const std::string query = query_of({{"container", options.container},
                                        {"tailLines", positive(options.tail_lines)},
                                        {"limitBytes", positive(options.limit_bytes)}});
    Request request = request_for("GET", object_path({"", "v1", "pods"}, pod, "log") + query);
    request.headers = {{"Accept", "*/*"}};
    return exchange(std::move(request));
}

Result<std::string> Client::exchange(Request request) {
    auto response = http_.send(request, stop_);
    if (!response) return response.error();
    if (!response->ok()) return error_from_response(request, *response);
    return std::move(response->body);
}

Result<json> Client::exchange_json(Request request) {
    const std::string what = request.method + " " + path_of(request);
    auto body = exchange(std::move(request));
    if (!body) return body.error();
    json document = json::parse(*body, nullptr, false);
    if (!document.is_object())
        return base::error(ErrorKind::invalid, what + ": the answer is not a JSON object");
    return document;
}

}  // namespace dbrestore::kube
