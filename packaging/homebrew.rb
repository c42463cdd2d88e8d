# The formula for the tap; `make packages` fills in version and checksums.
class AutoscalerGuard < Formula
  desc "Finds and prevents lost Kubernetes autoscalers"
  homepage "https://github.com/autoscaler-guard/autoscaler-guard"
  version "@version@"
  license "Apache-2.0"

  on_macos do
    on_arm do
      url "@base@/autoscaler-guard-aarch64-apple-darwin.tar.gz"
      sha256 "@sha256 autoscaler-guard-aarch64-apple-darwin.tar.gz@"
    end
    on_intel do
      url "@base@/autoscaler-guard-x86_64-apple-darwin.tar.gz"
      sha256 "@sha256 autoscaler-guard-x86_64-apple-darwin.tar.gz@"
    end
  end

  on_linux do
    on_arm do
      url "@base@/autoscaler-guard-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@sha256 autoscaler-guard-aarch64-unknown-linux-gnu.tar.gz@"
    end
    on_intel do
      url "@base@/autoscaler-guard-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@sha256 autoscaler-guard-x86_64-unknown-linux-gnu.tar.gz@"
    end
  end

  def install
    bin.install "autoscaler-guard"
    generate_completions_from_executable(bin/"autoscaler-guard", "completions")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/autoscaler-guard --version")
    assert_match "hpa-handover", shell_output("#{bin}/autoscaler-guard rules")
  end
end
