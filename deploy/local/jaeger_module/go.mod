module taskgate/jaeger

go 1.24.6

require github.com/jaegertracing/jaeger v1.76.0

// As in Jaeger's own go.mod: a replacement holds only in the main module.
replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0
