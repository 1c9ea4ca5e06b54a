# The server as a container: one static binary, certificates and an empty state folder, nothing else.
#
#   docker build -t leeward .
#   docker run -p 53:5300/udp -p 53:5300/tcp -v leeward:/var/lib/leeward leeward \
#       serve --etcd http://etcd:2379 --region eu-west
#
# It listens on 5300 inside, so that a user without any capability can: publish it as 53.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=${VERSION}" -o /out/leeward ./cmd/leeward \
    && mkdir -p /out/state

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/state /var/lib/leeward
COPY --from=build /out/leeward /leeward
USER 65532:65532
ENV LEEWARD_LISTEN=:5300 LEEWARD_STATE=/var/lib/leeward
VOLUME /var/lib/leeward
EXPOSE 5300/udp 5300/tcp
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/leeward", "healthcheck"]
ENTRYPOINT ["/leeward"]
CMD ["serve"]
