# The static program from sources, so that the host needs no Rust; scripts/build-push.sh takes it out of the last stage.
ARG RUST=rust:1.95-alpine
FROM ${RUST} AS build
# A C compiler and headers for the cryptography and the allocator that are not Rust.
RUN apk add --no-cache musl-dev gcc g++ make cmake perl
WORKDIR /source
COPY . .
# Alpine's own target is musl: linked statically unless told otherwise.
RUN RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin almadia && \
    install -D target/release/almadia /out/almadia

FROM scratch
COPY --from=build /out/almadia /almadia
# Nothing runs in this image, but a container to copy from needs a command.
CMD ["/almadia"]
