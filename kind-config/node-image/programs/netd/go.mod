module meshproof.invalid/netd

go 1.26.0
