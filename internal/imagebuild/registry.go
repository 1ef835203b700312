package imagebuild

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// defaultTimeout is how long a registry may take to be reached at all.
const defaultTimeout = 2 * time.Second

// askRegistry returns the digest of the platform's image. Only manifests are read.
func (b *Builder) askRegistry(ctx context.Context, ref string, platform Platform) (string, error) {
	timeout := b.timeout()
	ctx, cancel := context.WithTimeoutCause(ctx, 5*timeout, fmt.Errorf("no answer within %v", 5*timeout))
	defer cancel()
	image, err := b.remote(ctx, ref, platform)
	if err != nil {
		if why := context.Cause(ctx); why != nil {
			return "", why
		}
		return "", err
	}
	digest, err := image.Digest()
	return digest.String(), err
}

func (b *Builder) remote(ctx context.Context, ref string, platform Platform) (v1.Image, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	return remote.Image(parsed, remote.WithContext(ctx), remote.WithPlatform(platform),
		remote.WithTransport(b.transport()), remote.WithAuthFromKeychain(b.keychain()),
		// One try: where no registry is, the person waits for nothing.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
}

// pinnedImage is the image that base.lock names.
func (b *Builder) pinnedImage(ctx context.Context, chosen choice, platform Platform) (v1.Image, error) {
	parsed, err := name.ParseReference(chosen.Ref)
	if err != nil {
		return nil, err
	}
	image, err := b.remote(ctx, parsed.Context().Digest(chosen.ID).String(), platform)
	if err != nil {
		return nil, fmt.Errorf("pulling %s, which base.lock pins: %w\nmage base chooses a base anew", chosen, err)
	}
	return image, nil
}

func (b *Builder) timeout() time.Duration {
	if b.config.Base.Timeout > 0 {
		return b.config.Base.Timeout
	}
	return defaultTimeout
}

// transport gives up early on a host that does not pick up.
func (b *Builder) transport() http.RoundTripper {
	if b.config.Base.Transport != nil {
		return b.config.Base.Transport
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	transport = transport.Clone()
	transport.DialContext = (&net.Dialer{Timeout: b.timeout()}).DialContext
	transport.TLSHandshakeTimeout = b.timeout()
	return transport
}

func (b *Builder) keychain() authn.Keychain {
	if b.config.Base.Keychain != nil {
		return b.config.Base.Keychain
	}
	return authn.DefaultKeychain
}

// samePlatform refuses a base whose programs would not run.
func samePlatform(image v1.Image, platform Platform) error {
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	if config == nil {
		return errors.New("the base has no config")
	}
	if config.OS != platform.OS || config.Architecture != platform.Architecture {
		return fmt.Errorf("the base is for %s/%s, not for %s/%s", config.OS, config.Architecture, platform.OS, platform.Architecture)
	}
	return nil
}
