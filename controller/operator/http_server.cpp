#include "operator/http_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>

#include <cstring>

namespace dbrestore::op {

using base::ErrorKind;

namespace {

constexpr unsigned int idle_timeout_seconds = 10;
constexpr unsigned int most_connections = 64;
constexpr unsigned int most_connections_per_address = 32;

base::Result<sockaddr_in> parse_address(const std::string& text) {
    const size_t colon = text.find_last_of(':');
    const std::string host = text.substr(0, colon),
                      port = colon == std::string::npos ? "" : text.substr(colon + 1);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const bool number =
        !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stoi(port) > 65535 ||
        ::inet_pton(AF_INET, host.empty() ? "0.0.0.0" : host.c_str(), &address.sin_addr) != 1) {
        return base::error(ErrorKind::invalid, "a listening address must be IPV4:PORT, not \"" + text + "\"");
    }
    address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
    return address;
}

MHD_Result send(MHD_Connection* connection, const HttpReply& reply) {
    MHD_Response* response = MHD_create_response_from_buffer(
        reply.body.size(), const_cast<char*>(reply.body.data()), MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply.content_type.c_str());
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    const MHD_Result queued =
        MHD_queue_response(connection, static_cast<unsigned int>(reply.status), response);
    MHD_destroy_response(response);
    return queued;
}

MHD_Result answer(void* context, MHD_Connection* connection, const char* url, const char* method, const char*,
                  const char*, size_t* upload_bytes, void**) {
    *upload_bytes = 0;
    const auto& handlers = *static_cast<const HttpServer::Handlers*>(context);
    if (std::strcmp(method, "GET") != 0 && std::strcmp(method, "HEAD") != 0)
        return send(connection, {405, "only GET is served here\n"});
    const auto handler = handlers.find(url);
    if (handler == handlers.end()) return send(connection, {404, "nothing is served under this path\n"});
    return send(connection, handler->second());
}

}  // namespace

struct HttpServer::Implementation {
    Handlers handlers;
    MHD_Daemon* daemon = nullptr;
};

HttpServer::HttpServer(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

HttpServer::~HttpServer() {
    MHD_stop_daemon(implementation_->daemon);
}

base::Result<std::unique_ptr<HttpServer>> HttpServer::start(const std::string& address, Handlers handlers) {
    auto parsed = parse_address(address);
    if (!parsed) return parsed.error();
    auto implementation = std::make_unique<Implementation>();
    implementation->handlers = std::move(handlers);
    implementation->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, answer, &implementation->handlers,
        MHD_OPTION_SOCK_ADDR, reinterpret_cast<const sockaddr*>(&*parsed), MHD_OPTION_CONNECTION_TIMEOUT,
        idle_timeout_seconds, MHD_OPTION_CONNECTION_LIMIT, most_connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, most_connections_per_address, MHD_OPTION_END);
    if (implementation->daemon == nullptr)
        return base::error(ErrorKind::io, "cannot listen on " + address,
                           "is the address ours and the port free?");
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(implementation)));
}

int HttpServer::port() const {
    const MHD_DaemonInfo* info = MHD_get_daemon_info(implementation_->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info == nullptr ? 0 : info->port;
}

}  // namespace dbrestore::op
